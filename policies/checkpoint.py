"""Checkpoints: everything a training needs to go on, as safetensors and JSON, never as pickle.

A run's folder holds one sub-folder per checkpoint, `checkpoint-<number>`, with `tensors.safetensors` and
`checkpoint.json`, which names the hash of the former. A checkpoint is written beside its place, synced and
renamed, so a kill at any byte leaves the previous ones whole; the newest two are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from phonotaxis.configs.atomic_file import sync_folder
from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.contract_parts import served
from phonotaxis.configs.front_end import fill_in
from phonotaxis.configs.imitation import fill_in_older
from phonotaxis.configs.trained import Trainings
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.policy import Policy

FORMAT = "phonotaxis-checkpoint"
VERSION = 1
KEPT = 2
_MAX_JSON_BYTES = 16_000_000
_TENSORS, _JSON = "tensors.safetensors", "checkpoint.json"
_NAME = re.compile(r"checkpoint-(\d{6,})")


class CheckpointError(ValueError):
    """The folder holds no checkpoint that can be used; the message says why and what to do."""


@dataclass
class Checkpoint:
    """A training at one moment.

    Attributes:
        contract: of the policy.
        policy_config: of the policy's network.
        modules: weights by name of each network by name: "policy", and "average" where one is kept.
        config: of the training, JSON-able.
        optimizer: `optimizer.state_dict()`, or None.
        counters: how far the training is: rounds, updates, seconds.
        before: configurations of the trainings that it went on from, the last first.
    """

    contract: Contract
    policy_config: PolicyConfig
    modules: dict[str, dict[str, Tensor]]
    config: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] | None = None
    counters: dict[str, float | int] = field(default_factory=dict)
    before: Trainings = ()

    @property
    def trainings(self) -> Trainings:
        """Configurations of all trainings that it comes of, the last first."""
        return (self.config, *self.before)

    def policy(self, name: str | None = None, contract: Contract | None = None) -> Policy:
        """Build a network, in evaluation mode.

        Args:
            name: of the module; None takes "average" where there is one, "policy" otherwise.
            contract: that it is to serve: another array, body or period than that of its training, whose weights it
                takes all the same, since geometry enters by the front ends' constants. None takes its own. The front
                end stays its own.

        Raises:
            CheckpointError: no such module, weights that aren't those of the configuration's network, or a contract
                with other features, goals or actions.
        """
        name = name or ("average" if "average" in self.modules else "policy")
        if name not in self.modules:
            raise CheckpointError(f"the checkpoint has no '{name}'; it has {sorted(self.modules)}")
        with torch.random.fork_rng(devices=[]):  # initial weights are overwritten; a training's numbers stay
            policy = Policy(served(self.contract, contract), self.policy_config).eval()
        try:
            policy.load_state_dict(self.modules[name])
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            hint = "train again" if contract is None else "train for that task, or for one with the same inputs"
            raise CheckpointError(f"the weights don't fit the network: {reason}; {hint}") from None
        return policy


def save_checkpoint(folder: str | Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint as the newest of a folder, then drop all but the newest two.

    Args:
        folder: of the run; made if absent.
        checkpoint: what to write.

    Returns:
        The sub-folder written.

    Raises:
        OSError: the disk is full or the folder can't be written; older checkpoints are untouched.
        CheckpointError: something in it is not JSON-able.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    known = _numbers(folder)
    name = f"checkpoint-{known[-1] + 1 if known else 1:06d}"
    tensors, facts = _pack(checkpoint)
    facts["tensors_sha256"] = hashlib.sha256(tensors).hexdigest()
    part = folder / f".{name}.{secrets.token_hex(4)}.part"  # in a container a killed writer had the same number
    try:
        text = json.dumps(facts, indent=1, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"can't write the checkpoint as JSON: {error}") from None
    try:
        part.mkdir()
        _write(part / _TENSORS, tensors)
        _write(part / _JSON, text.encode())
        sync_folder(part)
        part.rename(folder / name)
        sync_folder(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    _prune(folder)
    return folder / name


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Read the newest whole checkpoint of a run's folder, or a checkpoint's own folder.

    Raises:
        CheckpointError: there is none, or what is there is damaged or not ours.
    """
    folder = Path(folder)
    if (folder / _JSON).is_file():
        return _read(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; expected the folder of a `phonotaxis train` run")
    numbers = _numbers(folder)
    if not numbers:
        raise CheckpointError(f"{folder}: holds no checkpoint; expected the folder of a `phonotaxis train` run")
    first_error: CheckpointError | None = None
    for number in reversed(numbers):
        try:
            return _read(folder / f"checkpoint-{number:06d}")
        except CheckpointError as error:  # a failing disk, say: the one before may be whole
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def has_checkpoint(folder: str | Path) -> bool:
    """Say whether a run's folder holds a checkpoint to go on from."""
    return bool(_numbers(Path(folder)))


def _pack(checkpoint: Checkpoint) -> tuple[bytes, dict[str, Any]]:
    tensors = {
        f"modules/{module}/{name}": value
        for module, weights in checkpoint.modules.items()
        for name, value in weights.items()
    }
    facts: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "contract": json.loads(checkpoint.contract.to_json()),
        "policy_config": checkpoint.policy_config.model_dump(mode="json"),
        "config": checkpoint.config,
        "counters": checkpoint.counters,
        "before": list(checkpoint.before),
        "optimizer": None,
    }
    if checkpoint.optimizer is not None:
        state, facts["optimizer"] = _pack_optimizer(checkpoint.optimizer)
        tensors |= state
    # The format asks for a plain layout, which views and `channels_last` weights don't have.
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    return save_tensors(plain), facts


def _pack_optimizer(state_dict: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, numbers = {}, {}
    for index, slots in state_dict["state"].items():
        for name, value in slots.items():
            key = f"{index}/{name}"
            if isinstance(value, Tensor):
                tensors[f"optimizer/{key}"] = value
            else:
                numbers[key] = value
    return tensors, {"param_groups": state_dict["param_groups"], "numbers": numbers}


def _unpack_optimizer(tensors: dict[str, Tensor], facts: dict[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *facts["numbers"].items()]:
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = value
    groups = [{**group, **_tuples(group)} for group in facts["param_groups"]]
    return {"state": state, "param_groups": groups}


def _tuples(group: dict[str, Any]) -> dict[str, Any]:
    """Adam's betas, which JSON turned into a list."""
    return {"betas": tuple(group["betas"])} if "betas" in group else {}


def _read(folder: Path) -> Checkpoint:
    again = "train again, or name another checkpoint"
    try:
        if (folder / _JSON).stat().st_size > _MAX_JSON_BYTES:
            raise CheckpointError(f"{folder / _JSON}: over {_MAX_JSON_BYTES} bytes; {again}")
        facts = json.loads((folder / _JSON).read_text(encoding="utf-8"))
        data = (folder / _TENSORS).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{folder}: can't be read ({error.strerror or error}); {again}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{folder / _JSON}: not JSON ({error}); {again}") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise CheckpointError(f"{folder}: not a phonotaxis checkpoint; {again}")
    if facts.get("version") != VERSION:
        raise CheckpointError(f"{folder}: checkpoint version {facts.get('version')!r}, this reads {VERSION}; {again}")
    if hashlib.sha256(data).hexdigest() != facts.get("tensors_sha256"):
        raise CheckpointError(f"{folder / _TENSORS}: damaged (its hash doesn't match); {again}")
    try:
        return _unpack(load_tensors(data), facts, str(folder / _JSON))
    except (SafetensorError, ConfigError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{folder}: not as this version writes it ({error}); {again}") from None


def _unpack(tensors: dict[str, Tensor], facts: dict[str, Any], where: str) -> Checkpoint:
    parts: dict[str, dict[str, Tensor]] = {"modules": {}, "optimizer": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = value  # older ones have random states, which nothing reads
    modules: dict[str, dict[str, Tensor]] = {}
    for name, value in parts["modules"].items():
        module, _, rest = name.partition("/")
        modules.setdefault(module, {})[rest] = value
    stored = facts["optimizer"]
    before = tuple(facts.get("before", ()))
    for config in (facts["config"], *before):
        fill_in(config)
        fill_in_older(config)
    return Checkpoint(
        contract=Contract.from_json(json.dumps(facts["contract"]), where),
        policy_config=build(PolicyConfig, facts["policy_config"], where),
        modules=modules,
        config=facts["config"],
        optimizer=None if stored is None else _unpack_optimizer(parts["optimizer"], stored),
        counters=facts["counters"],
        before=before,
    )


def _numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    matches = (_NAME.fullmatch(entry.name) for entry in folder.iterdir() if entry.is_dir())
    return sorted(int(match[1]) for match in matches if match)


def _prune(folder: Path) -> None:
    for number in _numbers(folder)[:-KEPT]:
        shutil.rmtree(folder / f"checkpoint-{number:06d}", ignore_errors=True)
    for entry in folder.glob(".checkpoint-*.part"):  # of a writer that was killed
        shutil.rmtree(entry, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
