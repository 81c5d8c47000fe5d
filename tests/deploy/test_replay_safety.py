"""The third stage: from what the guardian was told to what the drive got."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from phonotaxis.deploy import messages
from phonotaxis.deploy.episode_reader import Episode, read_episode
from phonotaxis.deploy.records import Message
from phonotaxis.deploy.recover import recover, rewrite
from phonotaxis.deploy.replay import ReplayReport, check
from phonotaxis.deploy.replay_known import Known
from phonotaxis.deploy.replay_report import SAFETY
from phonotaxis.deploy.replay_safety import COMPARED
from phonotaxis.deploy.traced_guardian import RepeatedGuardian
from phonotaxis.export.bundle import Bundle, read_bundle


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def driven(make_rig: Any, kept: Path) -> tuple[Episode, Bundle]:
    """Give an armed run towards a wall, in which safety lets through and slows down; driven once for all tests."""
    if not (kept / "policy.onnx").exists():
        rig = make_rig(wall_m=1.2, eager=9.0)
        code, _, err = rig.finish(rig.start("--arm", duration_s=2.6))
        assert code == 0, err
        (kept / "episode.mcap").write_bytes(rig.episode().read_bytes())
        (kept / "policy.onnx").write_bytes(rig.bundle.path.read_bytes())
    return read_episode(kept / "episode.mcap"), read_bundle(kept / "policy.onnx")


def edited(
    episode: Episode, target: Path, topic: str, change: Callable[[dict[str, Any]], dict[str, Any] | None]
) -> Path:
    """Copy an episode with every JSON message of a topic changed, or left out where the change gives None."""

    def edit(found: list[Message]) -> list[Message]:
        kept = []
        for message in found:
            if message.topic == topic:
                fields = change(json.loads(message.data))
                if fields is None:
                    continue
                message = replace(message, data=messages.encode_json(fields))  # noqa: PLW2901
            kept.append(message)
        return kept

    rewrite(episode, target, edit)
    return target


def of_safety(report: ReplayReport) -> list[str]:
    return [mismatch.quantity for mismatch in report.mismatches if mismatch.stage == SAFETY]


def test_what_safety_let_through_is_recomputed_bit_for_bit(driven: tuple[Episode, Bundle]) -> None:
    episode, bundle = driven
    reasons = {status["reason"] for status in episode.safety()}
    assert {"disarmed", "ok", "obstacle"} <= reasons
    report = check(episode, bundle)
    assert report.ok, report
    stage = report.stages[2]
    assert stage.name == SAFETY
    assert stage.compared == len(episode.safety()) > 20
    assert stage.note == ""
    assert "statuses agree" in str(stage)


def test_a_speed_that_safety_would_not_have_allowed_is_found(driven: tuple[Episode, Bundle], tmp_path: Path) -> None:
    episode, bundle = driven
    slowed = [status["time_ns"] for status in episode.safety() if status["reason"] == "obstacle"][2]
    path = edited(
        episode, tmp_path / "fast.mcap", "/safety", lambda s: {**s, "v_mps": 0.9} if s["time_ns"] == slowed else s
    )
    assert of_safety(check(path, bundle)) == ["safety.v_mps"]
    path = edited(
        episode, tmp_path / "why.mcap", "/safety", lambda s: {**s, "reason": "ok"} if s["time_ns"] == slowed else s
    )
    assert of_safety(check(path, bundle)) == ["safety.reason"]


def test_a_command_that_the_policy_never_gave_is_found(driven: tuple[Episode, Bundle], tmp_path: Path) -> None:
    episode, bundle = driven

    def faster(status: dict[str, Any]) -> dict[str, Any]:
        for event in status["trace"]["events"]:
            if len(event) == 2 and event[1]["type"] == "command" and event[1]["sequence"] == 6:
                event[1]["v_mps"] += 0.001
        return status

    path = edited(episode, tmp_path / "command.mcap", "/safety", faster)
    assert "safety.command_v_mps" in of_safety(check(path, bundle))


def test_a_free_way_that_the_camera_did_not_show_is_found(driven: tuple[Episode, Bundle], tmp_path: Path) -> None:
    episode, bundle = driven

    def freer(status: dict[str, Any]) -> dict[str, Any]:
        for event in status["trace"]["events"]:
            if len(event) == 2 and event[1].get("clearance_m") is not None:
                event[1]["clearance_m"] = 5.0
        return status

    found = of_safety(check(edited(episode, tmp_path / "free.mcap", "/safety", freer), bundle))
    assert found[0] == "safety.clearance_m"


def without(episode: Episode, target: Path, number: int, event: str = "") -> Path:
    """Copy an episode without one of its statuses, with an event that says so where one is named."""
    lost = [message for message in episode.messages if message.topic == "/safety"][number]

    def change(found: list[Message]) -> list[Message]:
        fields = messages.health_dict(lost.log_ns, "error", event, "a record is missing", {})
        said = [replace(lost, topic="/health", data=messages.encode_json(fields))] if event else []
        at = found.index(lost)
        return [*found[:at], *said, *found[at + 1 :]]

    rewrite(episode, target, change)
    return target


@pytest.mark.parametrize("event", ["log_dropped", "log_resumed", "log_refused", "trace_lost"])
def test_a_status_that_the_log_says_it_lost_is_said_not_guessed(
    driven: tuple[Episode, Bundle], tmp_path: Path, event: str
) -> None:
    episode, bundle = driven
    count = len(episode.safety())
    report = check(without(episode, tmp_path / "lost.mcap", count // 2, event), bundle)
    assert of_safety(report) == []
    assert report.stages[2].compared == count // 2
    assert "lost what the guardian was told" in report.stages[2].note


def test_a_status_that_is_missing_without_a_word_is_found(golden: tuple[Episode, Bundle], tmp_path: Path) -> None:
    episode, bundle = golden
    report = check(without(episode, tmp_path / "lost.mcap", 20), bundle)
    assert not report.ok
    assert of_safety(report) == ["safety.trace"]
    assert (report.stages[2].compared, report.stages[2].differing) == (21, 1)
    assert "lost what the guardian was told" in report.stages[2].note
    parted = replace(episode, metadata={**episode.metadata, "run_id": "one", "part": "2"})
    alone = check(without(parted, tmp_path / "e.part2.mcap", 0), bundle)  # a part alone: the first one is missing
    assert of_safety(alone) == []


def untraced(status: dict[str, Any]) -> dict[str, Any] | None:
    return {key: value for key, value in status.items() if key != "trace"}


def put_off(status: dict[str, Any]) -> dict[str, Any] | None:
    return {**status, "v_mps": 0.0, "trace": {**status["trace"], "left": 1}}


def put_off_for_ever(status: dict[str, Any]) -> dict[str, Any] | None:
    return {**status, "trace": {"first": 0, "events": [], "left": 1000}}


def none_at_all(status: dict[str, Any]) -> dict[str, Any] | None:
    return None


@pytest.mark.parametrize("change", [untraced, put_off, put_off_for_ever, none_at_all])
def test_a_robots_safety_stage_cant_be_switched_off(
    golden: tuple[Episode, Bundle], tmp_path: Path, change: Any
) -> None:
    episode, bundle = golden
    report = check(edited(episode, tmp_path / "off.mcap", "/safety", change), bundle)
    assert set(of_safety(report)) == {"safety.trace"}
    assert 0 < report.stages[2].differing <= report.stages[2].compared


def test_logs_without_a_trace_are_not_judged(recorded: tuple[Path, Bundle]) -> None:
    stage = check(*recorded).stages[2]
    assert stage.compared == 0
    assert "12 not recomputed" in stage.note


def forged(episode: Episode, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy an episode in which the guardian was told something else, and all that it let through follows from that."""
    repeated = RepeatedGuardian(episode.info.robot)

    def follow(status: dict[str, Any]) -> dict[str, Any]:
        for event in status["trace"]["events"]:
            if len(event) > 1:
                change(event[1])
            repeated.take(event)
        assert repeated.guardian is not None
        computed = repeated.guardian.status(status["time_ns"])
        return {**status, **{key: computed[key] for key in COMPARED}}

    return edited(episode, target, "/safety", follow)


def faster(message: dict[str, Any]) -> None:
    if message["type"] == "command":
        message.update(sequence=message["sequence"] + 10_000, v_mps=0.77)


def freer(message: dict[str, Any]) -> None:
    if message["type"] == "sensors" and message["depth_ns"] is not None:
        message.update(depth_ns=message["depth_ns"] + 1, clearance_m=5.0)


def fresher(message: dict[str, Any]) -> None:
    if message["type"] == "sensors" and message["audio_ns"] is not None:
        message.update(audio_ns=message["audio_ns"] + 7)


@pytest.mark.parametrize(
    ("change", "quantity"), [(faster, "command_sequence"), (freer, "depth_ns"), (fresher, "audio_ns")]
)
def test_what_the_guardian_was_told_of_and_the_log_does_not_hold_is_found(
    golden: tuple[Episode, Bundle], tmp_path: Path, change: Any, quantity: str
) -> None:
    """Commands of steps that there are not, frames that nobody took: all statuses follow, and none from the log."""
    episode, bundle = golden
    path = forged(episode, tmp_path / "forged.mcap", change)
    found = of_safety(check(path, bundle))
    assert len(found) > 10
    assert set(found) == {f"safety.{quantity}"}


def test_what_the_log_says_that_it_lost_is_not_missed(golden: tuple[Episode, Bundle], tmp_path: Path) -> None:
    episode, bundle = golden
    lost = [4, 5]

    def drop(told: bool) -> Callable[[list[Message]], list[Message]]:
        def change(found: list[Message]) -> list[Message]:
            kept = []
            for message in found:
                if message.topic != "/step" or json.loads(message.data)["step"] not in lost:
                    kept.append(message)
                elif told:
                    fields = messages.health_dict(message.log_ns, "error", "log_dropped", "1 record is missing", {})
                    kept.append(replace(message, topic="/health", data=messages.encode_json(fields)))
            return kept

        return change

    rewrite(episode, tmp_path / "told.mcap", drop(True))
    assert of_safety(check(tmp_path / "told.mcap", bundle)) == []
    rewrite(episode, tmp_path / "untold.mcap", drop(False))
    assert of_safety(check(tmp_path / "untold.mcap", bundle)) == ["safety.command_sequence"] * len(lost)


def test_a_log_that_was_cut_is_not_blamed_for_sound_that_was_on_its_way(golden: tuple[Episode, Bundle]) -> None:
    """As a run arms, the guardian's answer is logged before the block of sound that it was told of."""
    episode, _ = golden
    whole = Known(episode)
    later_ns = max(whole.audio_ns.known) + 1
    assert not whole.audio_ns.may_hold(later_ns)
    cut = Known(replace(episode, scan=replace(episode.scan, complete=False)))
    assert cut.audio_ns.may_hold(later_ns)
    assert not cut.audio_ns.may_hold(min(whole.audio_ns.known) + 1)
    assert not cut.steps.may_hold(10_000)


def test_nor_is_its_mended_copy(golden: tuple[Episode, Bundle], tmp_path: Path) -> None:
    """A copy is whole; its original was not."""
    episode, bundle = golden
    rewrite(episode, tmp_path / "plain.mcap")  # in no chunks, as a robot writes it
    data, torn = (tmp_path / "plain.mcap").read_bytes(), tmp_path / "torn.mcap"
    torn.write_bytes(data[: len(data) * 2 // 3])
    found = recover(torn, tmp_path / "mended.mcap")
    copy = read_episode(tmp_path / "mended.mcap")
    assert copy.scan.complete
    assert copy.health()[-1]["event"] == "log_cut"
    assert found.messages == len(copy.messages) == len(read_episode(torn).messages) + 1
    for known in (Known(read_episode(torn)), Known(copy)):
        assert known.audio_ns.may_hold(max(known.audio_ns.known) + 1)
        assert not known.audio_ns.may_hold(min(known.audio_ns.known) + 1)
        assert not known.steps.may_hold(10_000)
    assert check(copy, bundle).ok
    recover(episode.path, tmp_path / "whole.mcap")
    assert len(read_episode(tmp_path / "whole.mcap").messages) == len(episode.messages)


@pytest.fixture
def golden(repository: Path) -> tuple[Episode, Bundle]:
    folder = repository / "tests" / "golden"
    return read_episode(folder / "robot.mcap"), read_bundle(folder / "policy.onnx")
