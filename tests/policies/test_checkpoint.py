from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import Contract, discrete_actions
from phonotaxis.configs.front_end import FrontEnd
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies import checkpoint as module
from phonotaxis.policies.checkpoint import (
    Checkpoint,
    CheckpointError,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from phonotaxis.policies.policy import Policy

SMALL = PolicyConfig(memory_size=16, audio_hidden=16, audio_size=16, depth_size=16, depth_channels=(4, 8))


def _policy(seed: int = 0, front_end: FrontEnd | None = None, array: str = "respeaker_usb_v2") -> Policy:
    torch.manual_seed(seed)
    microphones = presets.load("arrays", array, MicrophoneArray)
    actions = discrete_actions(0.25, 0.17, 0.25)
    contract = Contract(task="test", array=microphones, actions=actions, front_end=front_end or FrontEnd())
    return Policy(contract, SMALL)


def _checkpoint(policy: Policy, rounds: int = 1, **parts: object) -> Checkpoint:
    return Checkpoint(
        contract=policy.contract,
        policy_config=policy.config,
        modules={"policy": policy.state_dict()},
        counters={"rounds": rounds},
        **parts,  # type: ignore[arg-type]  # any of the optional fields
    )


def _train(policy: Policy, optimizer: torch.optim.Optimizer, steps: int) -> None:
    features = {
        "audio": torch.ones(2, 3, policy.front_ends.audio.size),
        "depth": torch.ones(2, 3, 2, 32, 32),
        "motion": torch.rand(2, 3, 12),
    }
    for _ in range(steps):
        optimizer.zero_grad()
        output = policy.unroll(features, policy.initial_state(3), torch.zeros(2, 3, 1))
        (output.value.square().mean() + output.logits.square().mean()).backward()
        optimizer.step()


def test_training_goes_on_to_the_bit(tmp_path: Path) -> None:
    policy = _policy()
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2, betas=(0.8, 0.99))
    _train(policy, optimizer, 3)
    save_checkpoint(
        tmp_path,
        _checkpoint(
            policy,
            optimizer=optimizer.state_dict(),
            config={"minutes": 3.0},
        ),
    )
    before = torch.get_rng_state()
    saved = load_checkpoint(tmp_path)
    other = saved.policy()  # draws no random numbers
    other_optimizer = torch.optim.AdamW(other.parameters())
    assert saved.optimizer is not None
    other_optimizer.load_state_dict(saved.optimizer)
    assert other_optimizer.param_groups[0]["betas"] == (0.8, 0.99)
    _train(policy, optimizer, 2)
    torch.set_rng_state(before)
    _train(other, other_optimizer, 2)
    for name, value in policy.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert saved.counters == {"rounds": 1}
    assert saved.config == {"minutes": 3.0}
    assert saved.contract == policy.contract


def test_random_states_of_older_checkpoints_are_left_unread(tmp_path: Path) -> None:
    place = save_checkpoint(tmp_path, _checkpoint(_policy()))
    facts = json.loads((place / "checkpoint.json").read_text())
    assert "rng" not in facts
    tensors = load_file(place / "tensors.safetensors")
    save_file(tensors | {"rng/torch": torch.get_rng_state()}, place / "tensors.safetensors")
    digest = hashlib.sha256((place / "tensors.safetensors").read_bytes()).hexdigest()
    (place / "checkpoint.json").write_text(json.dumps(facts | {"rng": {}, "tensors_sha256": digest}))
    assert load_checkpoint(tmp_path).counters == {"rounds": 1}


@pytest.mark.parametrize(
    ("config", "noise", "optimizer"),
    [
        ({"expert_until": 0.3}, 0.0, "adamw"),
        ({"expert_until": 0.3, "goal_noise": 0.5, "optimizer": "muon"}, 0.5, "muon"),
        ({"ppo": {}}, None, None),
    ],
)
def test_an_older_training_goes_on_without_what_there_was_not(
    tmp_path: Path, config: dict[str, object], noise: float | None, optimizer: str | None
) -> None:
    """Noise on goals, and another optimiser than AdamW."""
    save_checkpoint(tmp_path, _checkpoint(_policy(), config=config))
    found = load_checkpoint(tmp_path).config
    assert (found.get("goal_noise"), found.get("optimizer")) == (noise, optimizer)


def test_the_average_is_preferred(tmp_path: Path) -> None:
    policy, average = _policy(0), _policy(1)
    checkpoint = _checkpoint(policy)
    checkpoint.modules["average"] = average.state_dict()
    save_checkpoint(tmp_path, checkpoint)
    saved = load_checkpoint(tmp_path)
    name = "heads.value.weight"
    assert torch.equal(saved.policy().state_dict()[name], average.state_dict()[name])
    assert torch.equal(saved.policy("policy").state_dict()[name], policy.state_dict()[name])
    assert not saved.policy().training
    with pytest.raises(CheckpointError, match="no 'critic'"):
        saved.policy("critic")


def test_another_array_is_served_with_its_own_front_end(tmp_path: Path) -> None:
    """What a task says of front ends is for policies that are yet to be trained."""
    old = FrontEnd(weighting="phase", elevations=0)
    save_checkpoint(tmp_path, _checkpoint(_policy(front_end=old)))
    served = load_checkpoint(tmp_path).policy(contract=_policy(array="matrix_voice").contract)
    assert served.contract.front_end == old
    assert served.contract.array.name == "matrix_voice"
    assert served.front_ends.audio.size == _policy(front_end=old).front_ends.audio.size


def test_remains_of_a_killed_writer_stand_in_nobodys_way(tmp_path: Path) -> None:
    """Not even where the next one has its process number, as in a container."""
    policy = _policy()
    save_checkpoint(tmp_path, _checkpoint(policy))
    (tmp_path / f".checkpoint-000002.{os.getpid()}.part").mkdir()
    assert save_checkpoint(tmp_path, _checkpoint(policy)).name == "checkpoint-000002"
    assert list(tmp_path.glob(".*.part")) == []


def test_keeps_the_newest_two(tmp_path: Path) -> None:
    policy = _policy()
    (tmp_path / ".checkpoint-000001.999.part").mkdir()
    assert not has_checkpoint(tmp_path)
    for rounds in range(1, 5):
        save_checkpoint(tmp_path, _checkpoint(policy, rounds))
    assert has_checkpoint(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["checkpoint-000003", "checkpoint-000004"]
    assert load_checkpoint(tmp_path).counters == {"rounds": 4}
    assert load_checkpoint(tmp_path / "checkpoint-000003").counters == {"rounds": 3}


def test_a_damaged_one_falls_back_to_the_one_before(tmp_path: Path) -> None:
    policy = _policy()
    for rounds in (1, 2):
        save_checkpoint(tmp_path, _checkpoint(policy, rounds))
    tensors = tmp_path / "checkpoint-000002" / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1])
    assert load_checkpoint(tmp_path).counters == {"rounds": 1}
    shutil.rmtree(tmp_path / "checkpoint-000001")
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path)


def test_a_full_disk_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = _policy()
    save_checkpoint(tmp_path, _checkpoint(policy))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, _checkpoint(policy, 2))
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint-000001"]


_WRITER = """
import sys
from phonotaxis.policies.checkpoint import load_checkpoint, save_checkpoint
checkpoint = load_checkpoint(sys.argv[1])
while True:
    checkpoint.counters["rounds"] += 1
    save_checkpoint(sys.argv[1], checkpoint)
    print("saved", flush=True)
"""


def test_survives_kills_at_any_moment(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _checkpoint(_policy()))
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline() == b"saved\n"
    for pause_s in np.linspace(0.0, 0.01, 30):  # a stopped writer leaves what a killed one leaves
        time.sleep(pause_s)
        process.send_signal(signal.SIGSTOP)
        assert load_checkpoint(tmp_path).counters["rounds"] >= 4
        process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    process.stdout.close()
    assert load_checkpoint(tmp_path).counters["rounds"] >= 4


def test_foreign_folders(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        load_checkpoint(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a phonotaxis checkpoint"),
        ('{"format": "other"}', "not a phonotaxis checkpoint"),
        ('{"format": "phonotaxis-checkpoint", "version": 9}', "checkpoint version 9"),
        ('{"format": "phonotaxis-checkpoint", "version": 1}', "damaged"),
    ],
)
def test_foreign_json(tmp_path: Path, text: str, match: str) -> None:
    place = save_checkpoint(tmp_path, _checkpoint(_policy()))
    (place / "checkpoint.json").write_text(text)
    with pytest.raises(CheckpointError, match=match):
        load_checkpoint(tmp_path)


def test_facts_of_another_shape(tmp_path: Path) -> None:
    place = save_checkpoint(tmp_path, _checkpoint(_policy()))
    facts = json.loads((place / "checkpoint.json").read_text())
    for change in ({"contract": {"version": 1}}, {"policy_config": {"memory": 3}}, {"optimizer": 3}):
        (place / "checkpoint.json").write_text(json.dumps({**facts, **change}))
        with pytest.raises(CheckpointError, match="not as this version writes it"):
            load_checkpoint(tmp_path)


def test_weights_of_another_network(tmp_path: Path) -> None:
    checkpoint = _checkpoint(_policy())
    del checkpoint.modules["policy"]["heads.value.weight"]
    save_checkpoint(tmp_path, checkpoint)
    with pytest.raises(CheckpointError, match=r"don't fit the network.*heads\.value\.weight"):
        load_checkpoint(tmp_path).policy()


def test_what_is_not_json_is_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="as JSON"):
        save_checkpoint(tmp_path, _checkpoint(_policy(), config={"a": object()}))
    assert list(tmp_path.iterdir()) == []
