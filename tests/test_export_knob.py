"""`phonotaxis export --check` of a policy with a knob: every precision at both ends, and a word where one fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from phonotaxis import cli
from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.export import check
from phonotaxis.export.openloop import Step
from phonotaxis.policies.checkpoint import Checkpoint, save_checkpoint
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.prefer import with_knob

TINY = PolicyConfig(
    memory_size=8, audio_hidden=8, audio_size=8, motion_size=8, depth_size=8, depth_channels=(2, 2), head_hidden=8
)
SHORT = ["--steps", "10", "--episodes", "4", "--json"]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    task = AudioGoalTask(
        scenes=SceneSet(source="empty_room", count=1), sources_per_scene=1, min_distance_m=1.5, response_s=0.05,
        sounds=SoundSet(instances_per_kind=1), max_steps=3,
    )  # fmt: skip
    torch.manual_seed(0)
    policy = with_knob(Policy(task.contract(), TINY))
    assert policy.caution is not None
    torch.nn.init.normal_(policy.caution.added[-1].weight)
    config = {"lanes": [{"task": task.model_dump(mode="json")}], "prefer": {}}  # as PreferenceTrainer writes it
    save_checkpoint(tmp_path, Checkpoint(policy.contract, policy.config, {"policy": policy.state_dict()}, config))
    return tmp_path


def test_every_precision_is_checked_at_both_ends(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, measured = check.closed_loop, check.calibrated
    turned: list[float] = []
    splits: list[str] = []

    def closed_loop(bundles: object, task: AudioGoalTask, episodes: int, progress: object, caution: float) -> object:
        turned.append(caution)
        splits.append(task.sounds.split)
        return own(bundles, task, episodes, progress, caution)  # type: ignore[arg-type]  # what it was given

    def calibrated(bundle: check.Bundle, task: AudioGoalTask) -> check.Calibration:
        splits.append(task.sounds.split)
        return measured(bundle, task)

    monkeypatch.setattr(check, "closed_loop", closed_loop)
    monkeypatch.setattr(check, "calibrated", calibrated)
    assert cli.run(["export", str(trained), "--check", *SHORT]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    for precision in ("fp32", "fp16", "int8"):
        for place in (precision, f"{precision}_caution_1"):
            assert figures[f"{place}.steps"]["value"] >= 10
            assert figures[f"{place}.success"]["value"] == 0.0
    for place in ("fp32", "fp32_caution_1"):
        assert figures[f"{place}.largest_logit_difference"]["value"] < check.FP32_LOGITS
        assert figures[f"{place}.accepted"]["value"] is True
    halves = [figures[f"fp16{place}.largest_logit_difference"]["value"] for place in ("", "_caution_1")]
    assert 0.0 < halves[0] < halves[1] < 0.01  # the head's own rounding comes on top
    assert [figures[f"{place}.emulated"]["value"] for place in ("fp16", "fp16_caution_1", "fp32_caution_1")] == [
        True, True, False
    ]  # fmt: skip
    assert turned == [0.0, 1.0]
    assert splits == ["train", "validation", "validation"]  # eight bits learn their ranges where nothing is judged


def test_what_fails_with_the_knob_turned_up_alone_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = check.reference_of

    def other_head(bundle: check.Bundle, policy: Policy | None = None) -> Step:
        assert policy is not None
        assert policy.caution is not None
        with torch.no_grad():
            policy.caution.added[-1].bias[0] += 5.0  # after the bundle was made of it
        return own(bundle, policy)

    monkeypatch.setattr(check, "reference_of", other_head)
    assert cli.run(["export", str(trained), "--check", *SHORT]) == 1
    said = capsys.readouterr().err
    assert "fp32_caution_1 is refused: logits differ by 5" in said
    assert "fp32 is refused" not in said
    out = tmp_path / "half.onnx"
    monkeypatch.setattr("phonotaxis.commands.export.LEAST_EPISODES", 4)
    assert cli.run(["export", str(trained), "--precision", "fp16", "-o", str(out), *SHORT]) == 1
    assert "fp16_caution_1 is refused: " in capsys.readouterr().err
    assert not out.exists()


def test_a_graph_that_isnt_accepted_is_written_in_no_precision(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"fp32": check.Verdict("fp32", check.ParityReport(), reasons=("it is odd",))}
    found["fp16"] = check.Verdict("fp16", check.ParityReport())
    monkeypatch.setattr("phonotaxis.commands.export.checked", lambda bundle, *_: ({"fp16": bundle}, found))
    out = tmp_path / "half.onnx"
    assert cli.run(["export", str(trained), "--precision", "fp16", "-o", str(out)]) == 1
    said = capsys.readouterr().err
    assert "fp32 is refused: it is odd" in said
    assert "no precision of it is written" in said
    assert not out.exists()
