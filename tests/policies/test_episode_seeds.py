"""Seeds of trainings' episodes."""

from __future__ import annotations

from itertools import combinations, product
from typing import Literal

import pytest

from phonotaxis.configs.suite import EPISODE_SEEDS, load_suite
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.policies import evaluate
from phonotaxis.policies.episode_seeds import LANES, evaluation_seeds, first_seed, selection_seeds

A_LANES_EPISODES = 1_000_000


@pytest.mark.parametrize("seed", [0, 7, 20_000, 2**40, 2**62])
def test_no_seed_of_a_training_is_validations(seed: int) -> None:
    first, end = EPISODE_SEEDS["train"]
    for lane in (0, 1, LANES - 1):
        assert first <= first_seed(seed, lane) <= end - A_LANES_EPISODES


def test_no_two_lanes_share_an_episode() -> None:
    firsts = [first_seed(seed, lane) for seed, lane in product((0, 1, 2), (0, 1, LANES - 1))]
    assert all(abs(one - other) > A_LANES_EPISODES for one, other in combinations(firsts, 2))


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("seed", [0, 1, 7, 20_000, 2**40])
def test_an_evaluation_has_no_episode_of_another_split(split: Literal["validation", "test"], seed: int) -> None:
    seeds, (first, end) = evaluation_seeds(split, seed, 200), EPISODE_SEEDS[split]
    assert len(seeds) == 200
    assert first <= seeds[0] < seeds[-1] < end
    assert not set(seeds) & set(evaluation_seeds(split, seed + 1, 200))


def test_no_evaluation_measures_on_the_episodes_that_chose_what_a_training_keeps() -> None:
    seeds, (first, end) = selection_seeds(1000), EPISODE_SEEDS["validation"]
    assert len(seeds) == 1000
    assert first <= seeds[0] < seeds[-1] < end
    assert load_suite("audiogoal-v1").seeds("validation", 1_000_000)[-1] < seeds[0]
    assert all(evaluation_seeds("validation", seed, 1_000_000)[-1] < seeds[0] for seed in (0, 1, 7, 999_999, 2**40))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_on_a_map_an_evaluation_does_not_run_the_trainings_episodes(
    split: Literal["validation", "test"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There scene and sounds are the same in every split, and the seed is all that tells episodes apart."""
    drawn: list[int] = []
    monkeypatch.setattr(evaluate, "compare", lambda training, test, seeds, *_, **__: drawn.extend(seeds))
    task = AudioGoalTask.model_validate({"scenes": {"source": "house.yaml"}, "sounds": {"folder": "recordings"}})
    assert evaluate.unseen(task, split) == task
    evaluate.evaluate(None, task, 5, seed=3, split=split)
    assert drawn == list(evaluation_seeds(split, 3, 5))
