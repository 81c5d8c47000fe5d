"""`phonotaxis evaluate`: its figures have stable names, its tables are for people, its errors name the mistake."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from matplotlib.figure import Figure

from phonotaxis import cli
from phonotaxis.commands import contestants
from phonotaxis.commands import evaluate as command
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.suite import SplitName, Suite, load_suite
from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.configs.trained import Trainings
from phonotaxis.envs import scenes
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.export.shipped import shipped_policy
from phonotaxis.policies import benchmark
from phonotaxis.policies.baselines import RandomDecider
from phonotaxis.policies.benchmark import Contestant, Evaluation
from phonotaxis.policies.trails import Trail
from phonotaxis.report.failures import draw_trails, how_it_ended, moves

HEARD = ["siren"] * 5 + ["a dog.wav"] * 15


def result(number: int, success: bool, sound: str = "") -> EpisodeResult:
    return EpisodeResult(
        episode_seed=number, scene="apartment:3000000", success=success, stopped=True, steps=20,
        path_length_m=5.0, shortest_path_m=5.0, shortest_actions=20,
        final_distance_m=0.5 if success else 3.0, collisions=1, reached=success, time_s=5.0,
        bearing_error_in_sight_rad=0.1, sound=sound,
    )  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put an evaluation of known outcome in the place of a real one, and keep what it was asked for."""
    results = {
        "learnt": [result(number, True, HEARD[number]) for number in range(20)],
        "follower": [result(number, number % 2 == 0, HEARD[number]) for number in range(20)],
        "follower_oracle_stop": [result(number, True, HEARD[number]) for number in range(20)],
    }
    seen: dict[str, Any] = {"also": ()}

    def known(suite: Suite, contestants: object, split: str, episodes: int | None, *rest: Any) -> Evaluation:
        folder, with_baselines, threads, _, store = rest
        seen.update(
            suite=suite.name, split=split, episodes=episodes, folder=folder, baselines=with_baselines, threads=threads,
            renew=store.renew, contestants=contestants,
        )  # fmt: skip
        policies = {name: [result(number, number < 5, HEARD[number]) for number in range(20)] for name in seen["also"]}
        return Evaluation(results | policies, ("follower",), ("learnt", *policies))

    monkeypatch.setattr(benchmark, "evaluate_suite", known)
    return seen


def test_figures_of_every_policy_and_the_differences(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", "--episodes", "20", "--json"]) == 0
    assert (asked["suite"], asked["split"], asked["episodes"]) == ("audiogoal-v1", "test", 20)
    assert (asked["baselines"], asked["renew"], asked["folder"]) == (True, False, None)
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["episodes"]["value"] == 20
    assert figures["learnt.success"] == {"value": 1.0, "unit": "", "interval": [1.0, 1.0]}
    assert figures["follower.spl"]["value"] == 0.5
    assert figures["follower_oracle_stop.success"]["value"] == 1.0
    assert figures["learnt.bearing_error_deg_in_sight"]["value"] == pytest.approx(5.7296, abs=1e-3)
    assert figures["learnt.bearing_error_deg_in_sight"]["unit"] == "deg"
    assert figures["learnt.time_to_goal_s"] == {"value": 5.0, "unit": "s", "interval": [5.0, 5.0]}
    assert figures["learnt.collisions_per_m"]["unit"] == "1/m"
    assert figures["learnt.spl_over_follower"]["value"] == 0.5
    low, high = figures["learnt.success_over_follower"]["interval"]
    assert 0.2 < low < 0.5 < high < 0.8


@pytest.mark.usefixtures("asked")
def test_the_tables_name_policies_metrics_and_what_was_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert cli.run(["evaluate", "--suite", "semantic-v1", "--split", "validation"]) == 0
    out, err = capsys.readouterr()
    for label in ("policy", "Success", "SPL", "SoftSPL", "SNA", "Reach", "Stop precision", "Distance to goal"):
        assert label in out
    rows = [line for line in out.splitlines() if line.startswith("learnt  ")]
    assert len(rows) == 2
    assert "100 [100, 100]" in rows[0]
    assert "0.5 [0.5, 0.5]" in rows[1]
    assert "learnt minus follower, paired: Success 50 [" in out
    assert "semantic-v1, validation split, 20 episodes" in err
    assert "taken from the cache, measured by the same code: follower (--fresh measures again)" in err


def test_every_other_policy_is_compared_with_pair_by_pair(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two policies are told apart by the paired difference, of which their own intervals say little."""
    asked["also"] = ("deaf",)
    assert cli.run(["evaluate", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["learnt.success_over_deaf"]["value"] == 0.75
    assert figures["learnt.spl_over_deaf"]["value"] == 0.75
    assert "learnt.success_over_follower_oracle_stop" not in figures  # it is told when to stop
    assert not [name for name in figures if name.startswith("deaf.") and "_over_" in name]
    assert cli.run(["evaluate"]) == 0
    assert "learnt minus deaf, paired: Success 75 [" in capsys.readouterr().out


def test_who_chooses_or_looks_at_failures_is_shown_the_validation_split(repository: Path) -> None:
    """Test is the default, and asked last, once."""
    page = (repository / "docs" / "benchmark.md").read_text(encoding="utf-8")
    shown = [line for line, _ in command.COMMAND.examples] + re.findall(r"^phonotaxis evaluate .*", page, re.MULTILINE)
    to_choose_by = [line for line in shown if any(f"--{what}" in line for what in ("also", "failures", "by-sound"))]
    assert len(to_choose_by) >= 6
    assert all("--split validation" in line for line in to_choose_by)


def test_the_seeds_of_a_training_are_measured_and_their_mean(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, Path, float | None]] = []

    def loaded(name: str, path: Path, contract: Contract, caution: float | None, split: str) -> str:
        asked.append((name, path, caution))
        return name

    def known(suite: Suite, those: dict[str, str], *_: object) -> Evaluation:
        good = dict(zip(those, (10, 5, 0, 20)))
        results = {name: [result(number, number < good[name]) for number in range(20)] for name in those}
        follower = [result(number, False) for number in range(20)]
        return Evaluation(results | {"follower": follower}, (), tuple(those))

    monkeypatch.setattr(contestants, "contestant_of", loaded)
    monkeypatch.setattr(benchmark, "evaluate_suite", known)
    for name in ("seed-10", "seed-9", "seed-11", "seed-notes"):
        (tmp_path / name).mkdir()
    line = ["evaluate", str(tmp_path), "--also", "deaf=runs/deaf", "--caution", "0.5"]
    assert cli.run([*line, "--json"]) == 0
    seeds = [(f"seed_{number}", tmp_path / f"seed-{number}", 0.5) for number in (9, 10, 11)]
    assert asked == [*seeds, ("deaf", Path("runs/deaf"), None)]
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert [figures[f"{name}.success"]["value"] for name in ("seed_9", "seed_10", "seed_11")] == [0.5, 0.25, 0.0]
    assert figures["seeds_mean.success"]["value"] == 0.25  # deaf isn't one of them
    low, high = figures["seeds_mean.success"]["interval"]
    assert low < 0.05 < 0.4 < high
    assert figures["seed_9.spl_over_follower"]["value"] == 0.5
    assert figures["seed_9.spl_over_deaf"]["value"] == -0.5
    monkeypatch.setenv("COLUMNS", "160")
    assert cli.run(line) == 0
    out = capsys.readouterr().out
    assert "25 [" in next(row for row in out.splitlines() if row.startswith("seeds_mean  "))
    assert "seed_9 minus follower, paired: Success 50 [" in out
    assert cli.run(["evaluate", str(tmp_path), "--suite", "own"]) == 1
    assert "holds several; name one:" in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("asked")
def test_success_by_sound_is_told_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", "--json"]) == 0
    assert "success_of" not in capsys.readouterr().out
    assert cli.run(["evaluate", "--json", "--by-sound"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["learnt.success_of_siren"] == {"value": 1.0, "unit": "", "interval": [1.0, 1.0]}
    assert figures["follower.success_of_siren"]["value"] == 0.6
    assert figures["follower.success_of_a_dog_wav"]["value"] == pytest.approx(7 / 15)
    assert cli.run(["evaluate", "--by-sound"]) == 0
    rows = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "15" in rows["a dog.wav"]
    assert "60 [" in rows["siren"]


def test_baselines_are_measured_alone(asked: dict[str, Any]) -> None:
    assert cli.run(["evaluate", "--baselines-only"]) == 0
    assert (asked["contestants"], asked["baselines"]) == ({}, True)


def test_options_arrive(asked: dict[str, Any], tmp_path: Path) -> None:
    line = ["evaluate", "--sounds", str(tmp_path), "--fresh", "--threads", "1", "--suite", "audiogoal-robot-v1"]
    assert cli.run(line) == 0
    assert (asked["suite"], asked["folder"]) == ("audiogoal-robot-v1", str(tmp_path))
    assert (asked["renew"], asked["threads"]) == (True, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--suite", "audiogoal-v2"], "did you mean 'audiogoal-v1'"),
        (["--split", "tests"], "unknown split 'tests'; did you mean 'test'"),
        (["runs/a", "--suite", "own", "--split", "validaton"], "unknown split 'validaton'; did you mean 'validation'"),
        (["runs/a", "--suite", "own", "--split", "train"], "measures on test or validation"),
        (["--also", "runs/deaf"], "expected NAME=PATH"),
        (["--also", "seed_1=runs/old"], "the name is kept for the seeds of one training"),
        (["--also", "seeds_mean=runs/old"], "the name is kept for the seeds of one training"),
        (["--suite", "own"], "needs the folder of a training"),
        (["--suite", "own", "policy.onnx"], "a bundle doesn't hold one"),
        (["--suite", "own", "--array", "uma8"], "--array is of suites"),
        (["--suite", "own", "--also", "deaf=runs/deaf"], "--also is of suites"),
        (["nowhere.onnx"], "nowhere.onnx"),
        (["--suite", "own", "runs/a", "--fresh"], "--fresh is of suites"),
        (["--seed", "3"], "--seed is of --suite own: the episodes of audiogoal-v1 are fixed"),
        (["runs/a", "--baselines-only"], "--baselines-only takes no policy"),
        (["--fresh", "--no-baselines"], "choose one"),
        (["--suite", "audiogoal-hard-v2", "--sounds", "here"], "audiogoal-hard-v2 takes no recordings"),
        (["--suite", "semantic-v1", "--sounds", "here"], "recordings of a folder have no kinds"),
    ],
)
def test_a_mistake_is_named(line: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", *line]) == 1
    err = capsys.readouterr().err
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_a_folder_without_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert str(tmp_path) in err
    assert "Traceback" not in err


def _drawn_from(first_seed: int) -> dict[str, Any]:
    return {"task": AudioGoalTask(scenes=SceneSet(first_seed=first_seed)).model_dump(mode="json")}


class Saved:
    """A checkpoint of a training whose second lane is in test's scenes, as far as an evaluation looks at it."""

    config: ClassVar[dict[str, Any]] = _drawn_from(0) | {"lanes": [_drawn_from(0), _drawn_from(3_000_000)]}
    trainings = (config,)
    contract = AudioGoalTask().contract()

    def policy(self, contract: Contract) -> None:
        return None


def test_a_training_in_test_scenes_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In whichever of its lanes."""
    from phonotaxis.policies import checkpoint, evaluate

    monkeypatch.setattr(checkpoint, "load_checkpoint", lambda path: Saved())
    monkeypatch.setattr(evaluate, "contestant", lambda policy, caution: "a contestant")
    contract = AudioGoalTask().contract()
    assert command._contestants(tmp_path, ["deaf=runs/deaf"], contract) == {
        "learnt": "a contestant",
        "deaf": "a contestant",
    }
    assert "warning: learnt was trained on what tests it: scenes 3000000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("trainings", "split", "said"),
    [
        ([_drawn_from(2_000_000)], "validation", "scenes 2000000 to 2000031 are of the validation split"),
        ([_drawn_from(2_000_000)], "test", ""),
        ([{"task": {"sounds": {"kinds": ["siren", "kettle"]}}}], "test", "where no goal is named: siren"),
        ([_drawn_from(0)], "train", ""),
        ([{"ppo": {"lanes": [_drawn_from(3_000_000)]}} | _drawn_from(0)], "test", "scenes 3000000"),
        ([_drawn_from(0), _drawn_from(3_000_000)], "test", "scenes 3000000"),
        ([{"task": {"of_another_version": 1}}], "test", "trained by another version"),
        ([], "test", ""),
    ],
)
def test_what_a_policy_was_trained_on_is_held_against_the_split(
    trainings: list[dict[str, Any]], split: SplitName, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    contestants.warn_of_overlap("learnt", trainings, split)
    err = capsys.readouterr().err
    assert said in err
    assert bool(said) == bool(err)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"sample_rate_hz": 48000},
            "learnt: its sample_rate_hz is 48000, the suite's is 16000; train with the suite's",
        ),
        ({"window_samples": 8000}, "learnt: its window_samples is 8000, the suite's is 4000"),
    ],
)
def test_a_policy_that_hears_otherwise_is_refused(
    change: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phonotaxis.policies import checkpoint

    class Other(Saved):
        contract = Saved.contract.model_copy(update=change)

    monkeypatch.setattr(checkpoint, "load_checkpoint", lambda path: Other())
    with pytest.raises(ConfigError, match=said):
        command._contestants(tmp_path, [], AudioGoalTask().contract())


def test_a_training_in_its_own_unseen_scenes_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from phonotaxis.policies import checkpoint

    class Own(Saved):
        config: ClassVar[dict[str, Any]] = _drawn_from(1_000_040)

    monkeypatch.setattr(checkpoint, "load_checkpoint", lambda path: Own())
    contestants.own_task(tmp_path, "test")
    assert "was trained on what tests it: scenes 1000040 to 1000071 are of the test split" in capsys.readouterr().err
    contestants.own_task(tmp_path, "validation")
    assert capsys.readouterr().err == ""


def test_bundles_are_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped, seen = shipped_policy(), list[tuple[str, SplitName]]()
    assert shipped is not None

    def note(name: str, trainings: Trainings, split: SplitName) -> None:
        assert trainings
        seen.append((name, split))

    monkeypatch.setattr(contestants, "warn_of_overlap", note)
    contract = load_suite("audiogoal-v1").task_of("validation").contract()
    command._contestants(shipped, (), contract, split="validation")
    assert seen == [("learnt", "validation")]


def test_a_trainings_own_task_is_measured_on_the_split_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from phonotaxis.policies import checkpoint, evaluate

    seen: list[str] = []

    def known(*_: object, split: str, **__: object) -> Evaluation:
        seen.append(split)
        return Evaluation({"learnt": [result(number, True) for number in range(4)]})

    monkeypatch.setattr(checkpoint, "load_checkpoint", lambda path: Saved())
    monkeypatch.setattr(evaluate, "evaluate_checkpoint", known)
    for split in ("validation", "test"):
        assert cli.run(["evaluate", str(tmp_path), "--suite", "own", "--split", split]) == 0
        err = capsys.readouterr().err
        assert "own: audiogoal, the first of the training's 2 lanes" in err
        assert f"own, {split} split, 4 episodes" in err
    assert seen == ["validation", "test"]


def test_the_title_of_failures_names_the_policy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from phonotaxis.policies import trails
    from phonotaxis.report import failures

    titles: list[str] = []
    monkeypatch.setattr(trails, "trails", lambda task, make, seeds: [])
    monkeypatch.setattr(failures, "draw_trails", lambda path, drawn, title: titles.append(title))
    contestant = Contestant(AudioGoalTask().contract(), lambda world: RandomDecider(1, 4, 0))
    found = Evaluation({"learnt": [result(0, True), result(1, False)]})
    for named in ("shipped", "runs/train"):
        command._draw_failures(
            tmp_path / "a.png", "audiogoal-v1", AudioGoalTask(), {"learnt": contestant}, found, named
        )  # fmt: skip
    assert titles == [f"audiogoal-v1, train: {named} failed 1 of 2 episodes" for named in ("shipped", "runs/train")]


def test_a_way_that_ends_on_the_spot_keeps_its_arrow() -> None:
    way_m = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    assert moves(way_m).tolist() == [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    assert moves(way_m[:1]).tolist() == [[0.0, 0.0]]


def test_failures_have_one_scale_and_say_what_their_signs_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    way_m, source_m = np.array([[1.0, 1.0], [2.0, 1.5]]), np.array([2.5, 2.0, 1.0])
    for others_m in (np.zeros((0, 3)), np.array([[1.0, 2.0, 1.0]])):
        shown = [
            Trail(
                scenes.load("empty_room", size_m=[6.0, 3.0 + number]), way_m, source_m, others_m, result(number, False)
            )
            for number in range(3)
        ]
        assert len({trail.scene.shape for trail in shown}) > 1
        draw_trails(tmp_path / "a.png", shown, "a title")
    for figure in drawn:
        spans = {(round(np.ptp(axes.get_xlim()), 6), round(np.ptp(axes.get_ylim()), 6)) for axes in figure.axes}
        assert len(spans) == 1
        assert {text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()} == {"  2 m"}
    signs = [[text.get_text() for text in figure.legends[0].get_texts()] for figure in drawn]
    assert signs == [["start", "end", "sought source"], ["start", "end", "sought source", "other source"]]


def test_failures_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a suite whose episodes are too short to succeed in."""
    picture, suite = tmp_path / "new" / "failures.png", tmp_path / "short.yaml"
    suite.write_text(
        "like: audiogoal-v1\nname: short-v1\n"
        "task: {scenes: {source: empty_room}, out_of_sight_share: 0.0, min_distance_m: 2.0, max_steps: 3,\n"
        "  response_s: 0.05}\n"
        "train: {scene_count: 1, instances_per_kind: 1}\nvalidation: {scene_count: 1, instances_per_kind: 1}\n"
    )
    command = ["evaluate", "--suite", str(suite), "--split", "validation", "--episodes", "2", "--no-baselines"]
    assert cli.run([*command, "--failures", str(picture)]) == 0
    assert f"wrote {picture}" in capsys.readouterr().err
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(("success", "stopped", "reached", "words"), [
    (True, True, True, "stopped at the source after 20 steps"),
    (False, True, False, "stopped 3.0 m from the source (start 5.0 m)"),
    (False, False, True, "out of time 3.0 m from the source (start 5.0 m), had been there"),
])  # fmt: skip
def test_how_it_ended(success: bool, stopped: bool, reached: bool, words: str) -> None:
    ended = replace(result(7, success), stopped=stopped, reached=reached)
    assert how_it_ended(ended) == f"7: {words}"
