"""What a follower is told of kinds."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.policies.kinds import kind_weights, spot_kind


def test_weights_tell_a_whistle_from_a_motor() -> None:
    contract = AudioGoalTask().contract()
    weights = kind_weights(contract, ("kettle", "engine"))
    assert set(weights) == {"kettle", "engine"}
    count = weights["kettle"].size
    for weight in weights.values():
        assert weight.dtype == np.float32
        assert weight.min() >= 0.1
        assert 0.5 < weight.mean() < 2.0
    low = slice(0, count // 8)
    assert weights["engine"][low].mean() > weights["kettle"][low].mean()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("go to the ringing telephone", "telephone"),
        ("find the kettle, ignore the water", "kettle"),
        ("avoid the water and approach the kettle", "water"),  # a keyword search knows no negation
        ("head towards the smartphone", None),
    ],
)
def test_the_first_known_word_names_the_kind(text: str, kind: str | None) -> None:
    assert spot_kind(text) == kind
