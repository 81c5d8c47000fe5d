from __future__ import annotations

from typing import Any

import pytest

from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.randomisation import Randomisation, Range, bounds

FIELDS = sorted(Randomisation.model_fields)


def test_nothing_varies_by_default() -> None:
    assert build(Randomisation, {}, "task.yaml").ranges() == {}


@pytest.mark.parametrize("given", [{"low": -2, "high": 3}, [-2, 3], (-2.0, 3.0)])
def test_a_range_is_written_in_three_ways(given: Any) -> None:
    built = build(Randomisation, {"sound_level_shift_db": given}, "task.yaml")
    assert built.ranges() == {"sound_level_shift_db": Range(low=-2.0, high=3.0)}


def test_one_number_is_a_range_of_itself() -> None:
    assert build(Randomisation, {"speed_scale": 0.9}, "task.yaml").speed_scale == Range(low=0.9, high=0.9)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([3, -2], r"sound_level_shift_db: .*low 3 must not exceed high -2"),
        ([1, 2, 3], r"sound_level_shift_db: .*expected \[low, high\], got 3 values"),
        ([0, 100], r"sound_level_shift_db: .*within -40 to 40 dB, got \[0, 100\]"),
        ({"low": 0}, r"sound_level_shift_db\.high: required"),
        ({"low": 0, "high": 1, "hihg": 2}, r"sound_level_shift_db\.hihg: unknown key"),
        ([0, float("inf")], r"sound_level_shift_db\.high: .*finite"),
        ("loud", r"sound_level_shift_db: .*got 'loud'"),
    ],
)
def test_a_wrong_range_is_explained(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(Randomisation, {"sound_level_shift_db": given}, "task.yaml")


def test_an_unknown_field_is_explained() -> None:
    with pytest.raises(ConfigError, match="did you mean 'latency_s'"):
        build(Randomisation, {"latencys": [0, 1]}, "task.yaml")


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_bounds_that_hold(name: str) -> None:
    least, most, unit = bounds(name)
    assert unit
    assert build(Randomisation, {name: [least, most]}, "task.yaml").ranges()[name] == Range(low=least, high=most)
    for low, high in ((least - 0.001, most), (least, most + 0.001)):
        with pytest.raises(ConfigError, match=f"{name}: .*must lie within"):
            build(Randomisation, {name: [low, high]}, "task.yaml")
