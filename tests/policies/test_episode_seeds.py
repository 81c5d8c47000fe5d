"""Seeds of trainings' episodes."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from phonotaxis.configs.suite import EPISODE_SEEDS
from phonotaxis.policies.episode_seeds import LANES, first_seed

A_LANES_EPISODES = 1_000_000


@pytest.mark.parametrize("seed", [0, 7, 20_000, 2**40, 2**62])
def test_no_seed_of_a_training_is_validations(seed: int) -> None:
    first, end = EPISODE_SEEDS["train"]
    for lane in (0, 1, LANES - 1):
        assert first <= first_seed(seed, lane) <= end - A_LANES_EPISODES


def test_no_two_lanes_share_an_episode() -> None:
    firsts = [first_seed(seed, lane) for seed, lane in product((0, 1, 2), (0, 1, LANES - 1))]
    assert all(abs(one - other) > A_LANES_EPISODES for one, other in combinations(firsts, 2))
