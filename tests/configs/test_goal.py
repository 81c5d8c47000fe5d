"""The embedding of what a goal is called: arithmetic alone, the same everywhere and for ever."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import GoalSpec
from phonotaxis.configs.goal import EMBEDDING, GOAL_SIZE, embed, nothing_named, signed_words, told_goal


def likeness(one: str, other: str) -> float:
    return float(embed(one).astype(np.float64) @ embed(other)) / GOAL_SIZE


def test_its_form() -> None:
    vector = embed("the ringing phone")
    assert vector.shape == (GOAL_SIZE,)
    assert vector.dtype == np.float32
    assert np.sqrt(np.mean(vector.astype(np.float64) ** 2)) == pytest.approx(1.0, abs=1e-6)
    assert not vector.flags.writeable
    assert not nothing_named().any()


def test_its_bits_are_for_ever() -> None:
    """Policies are trained on these numbers: another embedding needs another name than the one below."""
    digest = hashlib.sha256(embed("Go to the ringing phone, not the alarm!").tobytes()).hexdigest()
    assert (EMBEDDING, digest[:16]) == ("subwords-96-v1", "20cd7bceff6e78e3")


def test_common_stems_are_near_and_others_are_not() -> None:
    assert likeness("phone", "telephone") > 0.3
    assert likeness("knocks", "knocking") > 0.3
    assert abs(likeness("phone", "water")) < 0.3
    assert likeness("the alarm", "Alarm!") == pytest.approx(1.0)


def test_what_is_not_wanted_is_subtracted() -> None:
    wanted, unwanted = likeness("the phone, not the alarm", "phone"), likeness("the phone, not the alarm", "alarm")
    assert wanted > 0.4
    assert unwanted < -0.4
    assert likeness("the alarm, not the phone", "phone") < -0.4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ignore the alarm and find the phone", [("alarm", True), ("find", False), ("phone", False)]),
        ("the phone instead of the alarm", [("phone", False), ("alarm", True)]),
        ("rather than the alarm, the phone", [("alarm", True), ("phone", False)]),
        ("don\u2019t go to the alarm but the phone", [("go", True), ("alarm", True), ("phone", False)]),
    ],
)
def test_the_scope_of_a_negation(text: str, expected: list[tuple[str, bool]]) -> None:
    assert signed_words(text) == expected


@pytest.mark.parametrize("text", ["", "to the", "12, 34"])
def test_nothing_said_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="names anything"):
        embed(text)


def test_what_a_person_says_is_what_a_policy_is_told() -> None:
    wanted = GoalSpec(size=GOAL_SIZE, embedding=EMBEDDING)
    said = told_goal(wanted, "the phone, not the alarm")
    assert said is not None
    assert said.tobytes() == embed("the phone, not the alarm").tobytes()
    for text in (" Anything ", None):
        anything = told_goal(wanted, text)
        assert anything is not None
        assert not anything.any()
    assert told_goal(None, None) is None


@pytest.mark.parametrize(
    ("wanted", "text", "expected"),
    [
        (None, "the phone", "takes no goal.*leave --goal out"),
        (GoalSpec(size=GOAL_SIZE, embedding=EMBEDDING), "to the", "no word of 'to the' names anything"),
        (GoalSpec(size=GOAL_SIZE, embedding="clap"), "the phone", "96 numbers of 'clap', this version writes 96 of"),
        (GoalSpec(size=3, embedding=EMBEDDING), "the phone", "reads goals as 3 numbers"),
    ],
)
def test_a_goal_that_does_not_fit_is_refused(wanted: GoalSpec | None, text: str | None, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        told_goal(wanted, text)
