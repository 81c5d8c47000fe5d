"""How fast each engine answers on this machine: every one in a process of its own, on the same observations."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import TensorSpec
from phonotaxis.export.bundle import Bundle, read_bundle

PASSES = 5  # of which each engine's steps are taken in turn, so that none has the machine's quiet minute alone
_WARM_UP = 20
_TIMEOUT_S = 900


class BenchError(RuntimeError):
    """An engine couldn't be measured; the message says why."""


@dataclass(frozen=True)
class Latency:
    """One engine's figures.

    Attributes:
        p50_ms: half of the steps took no longer.
        p99_ms: 99 of 100.
        max_ms: the longest.
        memory_mb: largest resident size of the process.
        start_s: from the start of the process to its first action.
        steps: measured.
    """

    p50_ms: float
    p99_ms: float
    max_ms: float
    memory_mb: float
    start_s: float
    steps: int


def bench(
    bundles: Mapping[str, Bundle], steps: int, progress: Callable[[float, str], None] = lambda share, text: None
) -> dict[str, Latency]:
    """Measure PyTorch in eager mode and each bundle in ONNX Runtime, TensorRT too where it is.

    Args:
        bundles: by precision; fp32 is among them.
        steps: of each engine, split over `PASSES` passes in turn.
        progress: told the share done.

    Returns:
        Figures by name: `eager_fp32`, `onnxruntime_fp32`, `tensorrt_fp16`, ... TensorRT's are absent where it isn't
        installed with a GPU.

    Raises:
        BenchError: an engine's process failed.
    """
    found: dict[str, list[dict[str, float | list[float]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, bundle in bundles.items():
            files[name] = Path(folder) / f"{name}.onnx"
            files[name].write_bytes(bundle.data)
        plan = [("eager", "fp32"), *(("onnxruntime", name) for name in files)]
        if _has_tensorrt():
            plan += [("tensorrt", name) for name in files]
        for turn in range(PASSES):
            for number, (engine, precision) in enumerate(plan):
                progress((turn * len(plan) + number) / (PASSES * len(plan)), f"{engine} {precision}")
                one = _in_a_process(engine, files[precision], max(1, steps // PASSES))
                found.setdefault(f"{engine}_{precision}", []).append(one)
    return {name: _together(passes) for name, passes in found.items()}


def _has_tensorrt() -> bool:
    from importlib.util import find_spec

    from phonotaxis.export.engines import EngineError
    from phonotaxis.export.engines.cuda import Cuda

    try:
        Cuda().close()
    except EngineError:
        return False
    return find_spec("tensorrt") is not None


def _in_a_process(engine: str, path: Path, steps: int) -> dict[str, float | list[float]]:
    command = [sys.executable, "-m", "phonotaxis.export.bench", engine, str(path), str(steps), repr(time.time())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, env=environment)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BenchError(f"measuring {engine} failed: {reason}")
    result: dict[str, float | list[float]] = json.loads(done.stdout.splitlines()[-1])
    return result


def _together(passes: list[dict[str, float | list[float]]]) -> Latency:
    took_ms = 1e3 * np.concatenate([np.asarray(one["took_s"]) for one in passes])
    return Latency(
        p50_ms=float(np.percentile(took_ms, 50)),
        p99_ms=float(np.percentile(took_ms, 99)),
        max_ms=float(took_ms.max()),
        memory_mb=float(np.max([one["memory_mb"] for one in passes])),
        start_s=float(np.median([one["start_s"] for one in passes])),
        steps=len(took_ms),
    )


def observations(specs: tuple[TensorSpec, ...], count: int) -> list[dict[str, np.ndarray]]:
    """Make noise and depth within their ranges, [1, *shape] each: how long a step takes depends on no value."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        one = {}
        for spec in specs:
            low, high = max(spec.low, -1.0), min(spec.high, 10.0)
            values = rng.uniform(low, high, (1, *spec.shape))
            one[spec.name] = values.astype(spec.dtype)
        one[names.EPISODE_START][:] = 0.0
        made.append(one)
    return made


def _step(engine: str, bundle: Bundle) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    if engine != "eager":
        from phonotaxis.export.engines import open_engine

        return open_engine(bundle, engine).run
    import torch

    from phonotaxis.export.openloop import torch_step
    from phonotaxis.export.weights import restored_policy

    torch.set_num_threads(1)
    return torch_step(restored_policy(bundle))


def _largest_mb() -> float:
    """Largest resident size of this process; unlike `getrusage`'s, not that of the process it was forked from."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return float(line.split()[1]) / 1024


def main(arguments: list[str] | None = None) -> int:
    """Measure one engine and print what was found as JSON; run by `bench` in a process of its own."""
    parser = argparse.ArgumentParser(prog="phonotaxis.export.bench", description="Measure one engine.")
    parser.add_argument("engine")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("begun", type=float, help="when the process was asked for, seconds of the wall clock")
    options = parser.parse_args(arguments)
    bundle = read_bundle(options.bundle)
    step = _step(options.engine, bundle)
    seen = observations(bundle.contract.observations(), 8)
    state = bundle.initial_state()
    state = step(bundle.contract.feed(seen[0], state))[names.STATE_OUT]
    start_s = time.time() - options.begun
    took_s = []
    for number in range(_WARM_UP + options.steps):
        began = time.perf_counter()
        state = step(bundle.contract.feed(seen[number % len(seen)], state))[names.STATE_OUT]
        took_s.append(time.perf_counter() - began)
    memory_mb = _largest_mb()
    print(json.dumps({"took_s": took_s[_WARM_UP:], "start_s": start_s, "memory_mb": memory_mb}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
