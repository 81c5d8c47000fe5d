"""Sentences: every split can name every kind, and validation and test speak in words that training has not."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs.goal import embed, signed_words
from phonotaxis.envs.instructions import OTHER_ORDERS, OTHER_THINGS, PHRASES, TEMPLATES, draw_sentence
from phonotaxis.envs.sounds import TRAINING_KINDS

UNSEEN = ("validation", "test")


def words(text: str) -> set[str]:
    return {word for word, _ in signed_words(text.replace("{goal}", ",").replace("{other}", ","))}


def all_words(text: str) -> set[str]:
    bare = text.replace("{goal}", " ").replace("{other}", " ").lower()
    return set("".join(c if c.isalpha() or c in "'-" else " " for c in bare).split())


TRAINED = set().union(*(words(p) for phrases in PHRASES["train"].values() for p in phrases))
TRAINED_WITH = set().union(*(all_words(template) for template in TEMPLATES["train"]))


@pytest.mark.parametrize("split", PHRASES)
def test_every_kind_can_be_named(split: str) -> None:
    assert set(PHRASES[split]) == set(TRAINING_KINDS)
    assert all(len(phrases) >= 2 for phrases in PHRASES[split].values())


@pytest.mark.parametrize("split", UNSEEN)
def test_every_unseen_phrase_has_a_word_of_its_own(split: str) -> None:
    phrases = [phrase for known in PHRASES[split].values() for phrase in known]
    assert [phrase for phrase in phrases if words(phrase) <= TRAINED] == []


@pytest.mark.parametrize("split", UNSEEN)
def test_every_unseen_template_has_a_word_of_its_own(split: str) -> None:
    assert [template for template in TEMPLATES[split] if all_words(template) <= TRAINED_WITH] == []


@pytest.mark.parametrize("pool", [OTHER_THINGS, OTHER_ORDERS], ids=["things", "orders"])
def test_what_is_none_of_the_kinds_is_other_in_every_split_and_no_phrase(pool: dict[str, tuple[str, ...]]) -> None:
    phrases = {phrase for known in PHRASES.values() for calls in known.values() for phrase in calls}
    everything = [text for texts in pool.values() for text in texts]
    assert len(set(everything)) == len(everything)
    assert not phrases & set(everything)
    for split in UNSEEN:
        for text in pool[split]:
            assert all_words(text) - set().union(*(all_words(known) for known in pool["train"])), text


def test_no_phrase_stands_for_two_kinds() -> None:
    for phrases in PHRASES.values():
        flat = [phrase for known in phrases.values() for phrase in known]
        assert len(set(flat)) == len(flat)


@pytest.mark.parametrize("split", PHRASES)
def test_a_sentence_is_nearer_to_the_goal_than_to_what_it_excludes(split: str) -> None:
    """Where a sentence names two kinds by their own phrases, its embedding leans to the right one."""
    leans = []
    for seed in range(200):
        text = draw_sentence(split, "telephone", ["water"], seed)
        leans.append(float(embed(text) @ (embed("telephone phone") - embed("water"))))
    assert np.mean(np.array(leans) > 0.0) > 0.95


def test_sentences_belong_to_their_seed_and_name_what_is_there() -> None:
    drawn = [draw_sentence("train", "kettle", ["music", "kettle"], seed) for seed in range(60)]
    assert drawn == [draw_sentence("train", "kettle", ["music", "kettle"], seed) for seed in range(60)]
    assert len(set(drawn)) > 20
    assert all("kettle" in text and "{" not in text for text in drawn)
    assert any("music" in text or "melody" in text for text in drawn)
    assert not any(
        "{" in text or "not" in text for text in (draw_sentence("train", "kettle", [], s) for s in range(60))
    )


def test_an_unknown_kind_has_no_words() -> None:
    with pytest.raises(KeyError):
        draw_sentence("train", "gramophone", [], 0)
