from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.deploy import messages, replay_feed, tamper
from phonotaxis.deploy.episode import EpisodeError
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.recover import rewrite
from phonotaxis.deploy.replay import check
from phonotaxis.export.bundle import Bundle

STEPS = 12


def test_sound_without_its_steps_takes_bounded_memory(
    recorded: tuple[Path, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step follows its block; a stranger's file may hold hours of sound and none."""
    path, _ = recorded
    episode = read_episode(path)
    monkeypatch.setattr(replay_feed, "MOST_WAITING_BYTES", 1)
    feed = replay_feed._Feed(episode, episode.info.contract, 0.0)
    for message in episode.messages:
        if message.topic == messages.AUDIO_TOPIC:
            feed.take(message)
    assert [due.step for due, _ in feed._waiting] == [STEPS - 4, STEPS - 3, STEPS - 2, STEPS - 1]


def test_a_strangers_contract_can_not_ask_for_all_memory(recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    path, _ = recorded
    episode = read_episode(path)
    asked = {**json.loads(episode.metadata["contract"]), "window_samples": 10**9}
    copy = replace(episode, metadata={**episode.metadata, "contract": json.dumps(asked)})
    rewrite(copy, tmp_path / "stranger.mcap")
    with pytest.raises(EpisodeError, match="window_samples"):
        read_episode(tmp_path / "stranger.mcap")


def test_one_altered_sample_is_named_with_all_checksums_repaired(recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    path, bundle = recorded
    copy = tmp_path / "sample.mcap"
    for step in (0, 5, STEPS - 1):
        copy.unlink(missing_ok=True)
        tamper.alter_sample(path, copy, step=step, microphone=2)
        altered = read_episode(copy)
        assert altered.scan.checksum_ok
        original_blocks = [block.samples for block in read_episode(path).audio()]
        changed = sum(int((ours.samples != theirs).sum()) for ours, theirs in zip(altered.audio(), original_blocks))
        assert changed == 1
        report = check(copy, bundle)
        assert not report.ok
        assert report.first is not None
        assert (report.first.step, report.first.quantity) == (step, "logits")
        assert f"step {step}: logits differs" in str(report)


def test_a_sample_altered_without_repairing_digests_is_named_by_the_digest(
    recorded: tuple[Path, Bundle], tmp_path: Path
) -> None:
    path, bundle = recorded
    tamper.alter_sample(path, tmp_path / "repaired.mcap", step=4, flip=1)
    episode, original = read_episode(tmp_path / "repaired.mcap"), read_episode(path)
    steps = [m for m in original.messages if m.topic == messages.STEP_TOPIC]
    own = iter(steps)
    mixed = [next(own) if m.topic == messages.STEP_TOPIC else m for m in episode.messages]
    rewrite(episode, tmp_path / "plain.mcap", lambda found: mixed)
    report = check(tmp_path / "plain.mcap", bundle)
    assert report.first is not None
    assert (report.first.step, report.first.quantity) == (4, "observation_sha256")
    assert len(report.mismatches) == 1


def test_one_altered_action_is_named(recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    path, bundle = recorded
    claimed = tamper.alter_action(path, tmp_path / "action.mcap", step=6)
    copy = read_episode(tmp_path / "action.mcap")
    assert copy.scan.checksum_ok
    assert copy.steps()[6]["action_name"] == claimed != read_episode(path).steps()[6]["action_name"]
    report = check(copy, bundle)
    assert [(m.step, m.quantity) for m in report.mismatches] == [(6, "action")]


@pytest.mark.parametrize(
    ("topic", "key", "value", "quantity"),
    [
        ("/safety", "v_mps", 0.875, "observation_sha256"),
        ("/odometry", "dyaw_rad", 0.001, "observation_sha256"),
        ("/step", "v_mps", 0.25, "setpoint"),
        ("/step", "due_ns", 1, "due_ns"),
        ("/step", "value", 0.5, "value"),
    ],
)
def test_every_other_logged_quantity_counts_too(
    recorded: tuple[Path, Bundle], tmp_path: Path, topic: str, key: str, value: float, quantity: str
) -> None:
    path, bundle = recorded
    episode = read_episode(path)
    nth = [index for index, m in enumerate(episode.messages) if m.topic == topic][3]

    def change(found: list[Any]) -> list[Any]:
        fields = {**json.loads(found[nth].data), key: value}
        edited = type(found[nth])(
            topic, found[nth].log_ns, found[nth].publish_ns, found[nth].sequence, messages.encode_json(fields)
        )
        return [*found[:nth], edited, *found[nth + 1 :]]

    rewrite(episode, tmp_path / "other.mcap", change)
    report = check(tmp_path / "other.mcap", bundle)
    assert [(m.step, m.quantity) for m in report.mismatches] == [(3, quantity)]


def test_a_removed_block_is_noticed(recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    path, bundle = recorded
    episode = read_episode(path)
    blocks = [m for m in episode.messages if m.topic == "/audio"]
    rewrite(episode, tmp_path / "gap.mcap", lambda found: [m for m in found if m is not blocks[4]])
    report = check(tmp_path / "gap.mcap", bundle)
    assert report.first is not None
    assert report.first.step == 4


def test_a_removed_step_is_noticed(recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    path, bundle = recorded
    episode = read_episode(path)
    steps = [m for m in episode.messages if m.topic == "/step"]
    rewrite(episode, tmp_path / "gap.mcap", lambda found: [m for m in found if m is not steps[4]])
    report = check(tmp_path / "gap.mcap", bundle)
    assert report.first is not None
    assert (report.first.step, report.first.quantity) == (5, "step")


def test_another_engine_is_compared_by_tolerance(recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    path, bundle = recorded
    episode = read_episode(path)
    episode.metadata["engine"] = json.dumps({"engine": "another"})
    rewrite(episode, tmp_path / "other.mcap", lambda found: found)
    report = check(tmp_path / "other.mcap", bundle)
    assert report.ok
    assert not report.same_engine
    assert "within 1e-05" in str(report)
    tamper.alter_action(tmp_path / "other.mcap", tmp_path / "action.mcap", step=6)
    assert [m.step for m in check(tmp_path / "action.mcap", bundle).mismatches] == [6]


def test_an_episode_of_another_policy_is_refused(toy: Any, recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    other = toy.bundle(tmp_path / "other.onnx", toy.contract(), stop_after=3.0)
    with pytest.raises(EpisodeError, match="give the bundle that ran"):
        check(recorded[0], other)


def test_random_damage_is_at_most_an_episode_error(recorded: tuple[Path, Bundle], tmp_path: Path) -> None:
    path, bundle = recorded
    whole, rng = path.read_bytes(), np.random.default_rng(5)
    refused = 0
    for trial in range(150):
        data = bytearray(whole[: rng.integers(1000, len(whole))])  # cut, so that no checksum helps
        for at in rng.integers(0, min(len(data), 20_000), 3):
            data[at] = rng.integers(256)
        damaged = tmp_path / f"damaged-{trial}.mcap"
        damaged.write_bytes(data)
        try:
            check(damaged, bundle)
        except EpisodeError:
            refused += 1
    assert refused > 10
