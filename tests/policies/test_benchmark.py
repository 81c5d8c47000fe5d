"""The benchmark: the same episodes for everyone, results that are kept and results that don't change."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phonotaxis.configs import presets as arrays
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.envs.world import World
from phonotaxis.policies import baseline_store, benchmark
from phonotaxis.policies.baseline_store import BaselineStore
from phonotaxis.policies.baselines import ExpertDecider, RandomDecider
from phonotaxis.policies.benchmark import Contestant, baselines, check_contract, compare
from phonotaxis.policies.follower import StopRule
from phonotaxis.policies.kinds import KindOf, keyword_kind, named_kind

MakeTask = Callable[..., AudioGoalTask]
SEEDS = range(40, 45)
_PYTHON_ALONE = shutil.ignore_patterns("*.yaml", "__pycache__")


@pytest.fixture(scope="module")
def task(make_task: MakeTask) -> AudioGoalTask:
    return make_task(max_steps=20)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two baselines that run in milliseconds."""

    def two(training: AudioGoalTask, tune: object, seed: int = 0) -> dict[str, benchmark.MakeDecider]:
        return {
            "random": lambda world: RandomDecider(world.num_worlds, 4, seed),
            "expert": lambda world: ExpertDecider(),
        }

    monkeypatch.setattr(benchmark, "baselines", two)


def expert(task: AudioGoalTask) -> Contestant:
    return Contestant(task.contract(), lambda world: ExpertDecider())


def rule(told: KindOf | None) -> StopRule:
    return StopRule()


def test_every_table_has_its_baselines(make_task: MakeTask) -> None:
    always = ["random", "forward", "follower", "follower_oracle_stop", "expert"]
    assert list(baselines(make_task(), rule)) == always
    assert list(baselines(make_task(goal="kind"), rule)) == always
    assert list(baselines(make_task(goal="sentence"), rule)) == [*always, "keyword"]


@pytest.mark.parametrize(("goal", "ears"), [("kind", [named_kind]), ("sentence", [None, keyword_kind])])
def test_a_followers_rule_is_fitted_to_what_it_hears_itself(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch, goal: str, ears: list[KindOf | None]
) -> None:
    """Once for each that is told something else; what names the goal weighs the frequencies, and so its signs."""
    fitted: list[KindOf | None] = []

    def fit(*_: object, kind_of: KindOf | None) -> StopRule:
        fitted.append(kind_of)
        return StopRule()

    monkeypatch.setattr(benchmark, "tune_follower", fit)
    task = make_task(goal=goal, max_steps=2)
    compare(task, task, SEEDS[:1], {}, worlds=1, threads=1)
    assert fitted == ears


@pytest.mark.usefixtures("cheap")
def test_all_run_the_same_episodes_whatever_the_batch(task: AudioGoalTask) -> None:
    found = compare(task, task, SEEDS, {"learnt": expert(task)}, worlds=3, threads=1)
    assert list(found.results) == ["learnt", "random", "expert"]
    assert all([result.episode_seed for result in results] == list(SEEDS) for results in found.results.values())
    assert found.results["learnt"] == found.results["expert"]
    assert found.over("learnt", "expert").value == 0.0
    assert compare(task, task, SEEDS, {"learnt": expert(task)}, worlds=64, threads=2).results == found.results


@pytest.mark.usefixtures("cheap")
def test_kept_results_are_taken_and_said_and_shorter_evaluations_find_theirs(
    task: AudioGoalTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BaselineStore(tmp_path)
    told: list[float] = []
    first = compare(task, task, SEEDS, {}, store=store, progress=lambda share, what: told.append(share))
    assert first.kept == ()
    assert told == sorted(told)
    assert 0.9 < told[-1] <= 1.0
    with monkeypatch.context() as patch:
        patch.setattr(benchmark.Arena, "run", None)  # nothing is run
        again = compare(task, task, SEEDS, {}, store=store)
        shorter = compare(task, task, SEEDS[:2], {}, store=store)
    assert again.results == first.results
    assert again.kept == ("random", "expert")
    assert shorter.results["random"] == first.results["random"][:2]
    longer = compare(task, task, range(40, 46), {}, store=store)
    assert longer.kept == ()
    assert longer.results["random"][:5] == first.results["random"]
    assert compare(task, task, SEEDS, {}, store=BaselineStore(tmp_path, renew=True)).kept == ()


def a_result() -> EpisodeResult:
    return EpisodeResult(
        episode_seed=7, scene="empty_room:0", success=True, stopped=True, steps=3, path_length_m=1.0,
        shortest_path_m=1.0, shortest_actions=3.0, final_distance_m=0.5, collisions=0, reached=True, time_s=0.75,
    )  # fmt: skip


def test_fewer_results_that_agree_take_no_longer_ones_place(task: AudioGoalTask, tmp_path: Path) -> None:
    store, renewing = BaselineStore(tmp_path), BaselineStore(tmp_path, renew=True)
    many = [replace(a_result(), episode_seed=seed) for seed in range(7, 17)]
    store.put(task, task, "expert", many)
    renewing.put(task, task, "expert", many[:3])
    assert store.get(task, task, "expert", range(7, 17)) == many
    renewing.put(task, task, "expert", [replace(many[0], steps=9)])
    assert store.get(task, task, "expert", [7]) == [replace(many[0], steps=9)]
    assert store.get(task, task, "expert", range(7, 17)) is None


def test_results_are_kept_to_the_last_digit_under_all_that_they_depend_on(
    task: AudioGoalTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BaselineStore(tmp_path)
    store.put(task, task, "expert", [a_result()])
    assert store.get(task, task, "expert", [7]) == [a_result()]
    assert store.get(task, task, "random", [7]) is None
    assert store.get(task, task, "expert", [8]) is None
    other = task.model_copy(update={"max_steps": 21})
    assert store.get(task, other, "expert", [7]) is None
    assert store.get(other, task, "expert", [7]) is None  # fitted to something else
    with monkeypatch.context() as patch:
        patch.setattr(baseline_store, "code_digest", lambda: "another")
        assert BaselineStore(tmp_path).get(task, task, "expert", [7]) is None
    (kept,) = tmp_path.iterdir()
    kept.write_text(kept.read_text()[:-9])
    assert store.get(task, task, "expert", [7]) is None


def test_what_was_drawn_with_another_seed_is_another_result(task: AudioGoalTask, tmp_path: Path) -> None:
    store = BaselineStore(tmp_path)
    store.put(task, task, "random", [a_result()], drawn=1)
    assert store.get(task, task, "random", [7], drawn=1) is not None
    assert store.get(task, task, "random", [7]) is None


def test_code_counts_wherever_the_checkout_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder above it that is called like one of those left out leaves nothing out."""
    for root in ("configs", "envs", "policies"):
        shutil.copytree(Path(arrays.__file__).parents[1] / root, tmp_path / "bench" / root, ignore=_PYTHON_ALONE)
    monkeypatch.setattr(baseline_store, "__file__", str(tmp_path / "bench" / "policies" / "baseline_store.py"))
    monkeypatch.setattr(baseline_store.configs_base, "__file__", str(tmp_path / "bench" / "configs" / "base.py"))
    before = baseline_store.code_digest()
    changed = tmp_path / "bench" / "envs" / "metrics.py"
    changed.write_text(changed.read_text() + "\n")
    assert baseline_store.code_digest() != before


def test_other_recordings_are_other_results(task: AudioGoalTask, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"one")
    recorded = task.model_copy(update={"sounds": task.sounds.model_copy(update={"folder": str(folder)})})
    store = BaselineStore(tmp_path / "kept")
    store.put(task, recorded, "expert", [a_result()])
    assert store.get(task, recorded, "expert", [7]) is not None
    (folder / "a.wav").write_bytes(b"two")
    assert store.get(task, recorded, "expert", [7]) is None


def test_another_map_under_the_same_path_gives_other_results(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does an array's file, nor the responses that it names, stand in what a task says."""
    monkeypatch.chdir(tmp_path)
    pixels = np.pad(np.full((20, 30), 254, np.uint8), 1)
    Image.fromarray(pixels).save("house.png")
    Path("house.yaml").write_text("{image: house.png, resolution: 0.1, origin: [0, 0, 0]}")
    Path("head.npz").write_bytes(b"one")
    array = Path(arrays.PRESETS / "arrays" / "foa.yaml").read_text().partition("directivity:")[0]
    own = "directivity: {kind: measured, path: head.npz}\n"
    Path("mine.yaml").write_text(array + own)
    task = make_task("house.yaml", array=str(tmp_path / "mine.yaml"))

    def is_kept() -> bool:
        return BaselineStore(tmp_path / "kept").get(task, task, "expert", [7]) is not None

    def keep() -> None:
        BaselineStore(tmp_path / "kept").put(task, task, "expert", [a_result()])
        assert is_kept()

    keep()
    pixels[5:8, 5:8] = 0
    Image.fromarray(pixels).save("house.png")
    assert not is_kept()
    keep()
    Path("mine.yaml").write_text(f"{array}self_noise_dba: 12.0\n{own}")
    assert not is_kept()
    keep()
    Path("head.npz").write_bytes(b"two")
    assert not is_kept()


def test_the_code_of_all_that_baselines_import_is_in_the_digest(repository: Path) -> None:
    """Whatever the baselines import, and what that imports: a changed tracker must not be given old results."""
    reached, next_ones = set(), ["baselines", "follower", "tuning"]
    while next_ones:
        name = next_ones.pop()
        if name not in reached:
            reached.add(name)
            next_ones += _imported_policies(repository / "policies" / f"{name}.py")
    assert {"audio_front_end", "spectra", "tracker", "planner"} <= reached
    assert reached <= set(baseline_store._OF_POLICIES)


def _imported_policies(module: Path) -> set[str]:
    """Names of the modules beside one that it imports."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("phonotaxis.policies"):
            found.update([node.module.rpartition(".")[2]], [alias.name for alias in node.names])
    return {name for name in found if (module.parent / f"{name}.py").exists()}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"array": "respeaker_6mic"}, "array"),
        ({"hop_samples": 2000, "window_samples": 4000}, "hop_samples"),
        ({"actions": "continuous"}, "kind of actions"),
    ],
)
def test_a_policy_for_something_else_is_refused_by_name(
    make_task: MakeTask, change: dict[str, object], named: str
) -> None:
    with pytest.raises(ConfigError, match=rf"learnt: its {named} is .*--suite own"):
        check_contract("learnt", make_task(**change).contract(), make_task().contract())


def test_a_policy_without_goal_or_with_other_steps_is_taken(make_task: MakeTask) -> None:
    check_contract("learnt", make_task().contract(), make_task(goal="none", step_m=0.1).contract())


def test_baselines_of_continuous_actions_are_refused_and_ones_own_policy_is_measured(make_task: MakeTask) -> None:
    """They would give actions that the world doesn't take."""

    class Stop:
        def begin(self, worlds: np.ndarray) -> None:
            pass

        def decide(self, world: World) -> np.ndarray:
            return np.ones((world.num_worlds, 3))

    task = make_task(actions="continuous", max_steps=5)
    mine = {"mine": Contestant(task.contract(), lambda world: Stop())}
    with pytest.raises(ConfigError, match="audiogoal: actions are continuous, and baselines .*--no-baselines"):
        compare(task, task, SEEDS, mine)
    found = compare(task, task, SEEDS[:2], mine, with_baselines=False, worlds=2, threads=1)
    assert [result.steps for result in found.results["mine"]] == [1, 1]


def test_a_policy_is_not_called_like_a_baseline(task: AudioGoalTask) -> None:
    with pytest.raises(ConfigError, match="expert: the name of a baseline"):
        compare(task, task, SEEDS, {"expert": expert(task)})
