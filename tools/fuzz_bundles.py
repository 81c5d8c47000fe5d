"""Mutates bundles, metadata, plans and signatures, and looks at what reading and loading them makes of it.

    python tools/fuzz_bundles.py POLICY.onnx --count 20000 --seed 0

Each mutation is tried in a worker process with bounded memory; a worker that dies or hangs is a finding. Whoever can
write a bundle can seal it again, so most mutations are sealed again: they reach the contract, the scan and the engine.
Prints one JSON object; exits 1 where something was found.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import queue
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.contract import Contract
from phonotaxis.export.bundle import CONTRACT_KEY, PROVENANCE_KEY, SEAL_KEY, BundleError, open_bundle
from phonotaxis.export.engines import EngineError, open_engine
from phonotaxis.export.engines.plan_cache import pack, unpack
from phonotaxis.export.scan import ScanError, scan_model

MEMORY_BYTES = 4 << 30  # of a worker's address space, ONNX Runtime's own bound and libraries included
HANG_S = 30.0
_KEY = {"bundle_sha256": "ab" * 32, "tensorrt": "10.3.0", "device": "Orin"}


@dataclass
class Found:
    """What a fuzz run found.

    Attributes:
        outcomes: how many mutations ended how.
        findings: those that ended in anything but a clear error or a policy that runs; described.
        slowest_s: the longest that one took.
        memory_mb: the largest resident size of a worker.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    memory_mb: float = 0.0


def reseal(data: bytes) -> bytes:
    """Give altered bytes a seal that matches, where there is still a place for it."""
    import hashlib

    try:
        span = scan_model(data).value_span[SEAL_KEY]
    except (ScanError, KeyError):
        return data
    first, last = span
    if last - first != 64:
        return data
    blank = data[:first] + b"0" * 64 + data[last:]
    return data[:first] + hashlib.sha256(blank).hexdigest().encode() + data[last:]


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Alter a few bytes: flip, overwrite, cut, repeat, or put in numbers that parsers stumble over."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, len(out)))
        kind = rng.integers(0, 6)
        if kind == 0:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            out[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
        elif kind == 2:
            out[at : at + 8] = rng.integers(0, 256, 8, dtype=np.uint8).tobytes()
        elif kind == 3:
            del out[at : at + int(rng.integers(1, 64))]
        elif kind == 4:
            out[at:at] = out[at : at + int(rng.integers(1, 64))]
        else:
            out[at : at + 10] = b"\xff" * 9 + b"\x01"
        if not out:
            out = bytearray(b"\x00")
    return bytes(out)


def mutate_text(text: str, rng: np.random.Generator) -> str:
    """Alter metadata: numbers, brackets, depth, or bytes of it."""
    kind = rng.integers(0, 5)
    if kind == 0:
        return mutate(text.encode(), rng).decode("utf-8", "replace")
    if kind == 1:
        at = int(rng.integers(0, len(text)))
        return text[:at] + str(rng.choice(["1e999", "-1", "NaN", "null", "[[[[", '{"a":', "9" * 400])) + text[at:]
    if kind == 2:
        return "[" * 100_000
    if kind == 3:
        return '{"a":' * 5_000 + "1" + "}" * 5_000
    numbers = [index for index, character in enumerate(text) if character.isdigit()]
    at = int(rng.choice(numbers)) if numbers else 0
    return text[:at] + str(rng.choice(["0", "-7", "99999999", "0.5", "true"])) + text[at + 1 :]


def _entry_changed(data: bytes, key: str, rng: np.random.Generator) -> bytes:
    """Mutate one metadata value in a model without seal, keeping the file well formed."""
    import onnx

    model = onnx.load_from_string(data)
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = mutate_text(entry.value, rng)
            if key == CONTRACT_KEY and rng.random() < 0.3:
                entry.value = Contract.from_json(data_contract(data)).to_json()
    out = model.SerializeToString()
    for entry in model.metadata_props:
        if entry.key == "phonotaxis.size_bytes":
            entry.value = f"{len(out):012d}"
    return bytes(model.SerializeToString())


def data_contract(data: bytes) -> str:
    """Return the contract's text of a bundle."""
    return scan_model(data).metadata[CONTRACT_KEY]


def attempt(base: bytes, seed: int) -> str:
    """Make one mutation and try it; returns how it ended. Anything unexpected is raised."""
    rng = np.random.default_rng(seed)
    kind = seed % 8
    if kind == 7:
        content, reason = unpack(mutate(pack(_KEY, base[:2000]), rng), _KEY)
        if content is not None and content != base[:2000]:
            raise AssertionError("a damaged plan was believed")
        return "plan refused" if reason else "plan unchanged"
    if kind in (5, 6):
        data = reseal(_entry_changed(base, (CONTRACT_KEY, PROVENANCE_KEY)[kind - 5], rng))
    else:
        data = mutate(base, rng)
        if kind:  # the others come with the broken seal
            data = reseal(_sized(data))
    try:
        bundle = open_bundle(data)
    except BundleError as error:
        if not str(error).strip() or len(str(error)) > 20_000:
            raise AssertionError("an error without words, or with too many") from error
        return "refused when read"
    try:
        engine = open_engine(bundle)
    except EngineError:
        return "refused by the engine"
    from phonotaxis.export.engines.check import zero_inputs

    try:
        engine.run(zero_inputs(bundle.contract.inputs()))
    except EngineError:
        return "refused in a step"
    return "runs"


def _sized(data: bytes) -> bytes:
    """Write the file's own length into it, where there is a place."""
    try:
        first, last = scan_model(data).value_span["phonotaxis.size_bytes"]
    except (ScanError, KeyError):
        return data
    return data[:first] + f"{len(data):012d}".encode() + data[last:] if last - first == 12 else data


def _work(base: bytes, todo: Any, done: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for seed in iter(todo.get, None):
        began = time.monotonic()
        try:
            outcome, finding = attempt(base, seed), ""
        except Exception as error:  # noqa: BLE001 - whatever comes out is what the run looks for
            outcome, finding = "finding", f"seed {seed}: {type(error).__name__}: {str(error)[:200]}"
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        done.put((seed, outcome, finding, time.monotonic() - began, memory_mb))


def fuzz(base: bytes, count: int, seed: int = 0, tell: Callable[[int], None] = lambda done: None) -> Found:
    """Try mutations one after the other in a worker, which is replaced when it dies.

    Args:
        base: a bundle's bytes.
        count: of mutations.
        seed: of the first; the others follow it.
        tell: told how many are done.
    """
    context = multiprocessing.get_context("fork")
    found, upcoming = Found(), seed
    while upcoming < seed + count:
        todo, done = context.SimpleQueue(), context.Queue()
        worker = context.Process(target=_work, args=(base, todo, done), daemon=True)
        worker.start()
        while upcoming < seed + count:
            todo.put(upcoming)
            answer = _answer(worker, done)
            if answer is None:
                found.outcomes["finding"] += 1
                found.findings.append(f"seed {upcoming}: the process died or hung (exit {worker.exitcode})")
                upcoming += 1
                break
            _, outcome, finding, took_s, memory_mb = answer
            found.outcomes[outcome] += 1
            found.findings += [finding] if finding else []
            found.slowest_s, found.memory_mb = max(found.slowest_s, took_s), max(found.memory_mb, memory_mb)
            upcoming += 1
            tell(upcoming - seed)
        if worker.is_alive():
            todo.put(None)
            worker.join(timeout=5.0)
            if worker.is_alive():
                worker.kill()
    return found


def _answer(worker: Any, done: Any) -> Any:
    ends_s = time.monotonic() + HANG_S
    while time.monotonic() < ends_s:
        try:
            return done.get(timeout=0.5)
        except queue.Empty:
            if not worker.is_alive():
                return None
    return None


def main(arguments: list[str] | None = None) -> int:
    """Fuzz from the command line."""
    parser = argparse.ArgumentParser(description="Mutate bundles and look at what comes of it.")
    parser.add_argument("policy", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    found = fuzz(options.policy.read_bytes(), options.count, options.seed)
    print(
        json.dumps(
            {
                "mutations": sum(found.outcomes.values()),
                "outcomes": dict(found.outcomes),
                "findings": found.findings[:20],
                "slowest_s": round(found.slowest_s, 3),
                "hang_s": HANG_S,
                "memory_mb": round(found.memory_mb),
                "seconds": round(time.monotonic() - began),
            }
        )
    )
    return 1 if found.findings else 0


if __name__ == "__main__":
    sys.exit(main())
