"""What a goal is called, as a policy reads it: a fixed embedding of words, computed by arithmetic alone.

No model is downloaded and nothing is learnt: each word is the signed hash (Weinberger et al. 2009) of its character
n-grams and of itself (the sub-words of Bojanowski et al. 2017), so words with a common stem lie close together. Words
in the scope of a negation are subtracted instead of added (after the NOT_ marks of Pang, Lee and Vaithyanathan 2002):
"the phone, not the alarm" is near "phone" and opposite to "alarm". Order is otherwise lost. What it can't know is
that two words without a common stem mean the same; a policy has to learn that from sentences.

The robot's runtime and the simulator call the same function, on any machine with the same bits.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache

import numpy as np

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import GoalSpec

GOAL_SIZE = 96
EMBEDDING = "subwords-96-v1"  # changes whenever a text's numbers would
SURE = 0.4  # a kind's probability from which on a policy that understands sentences takes it for what is meant
ANYTHING = "anything"  # as a goal's text: nothing is named, whatever sounds is meant
_GRAMS = (3, 4, 5)
_PLACES = 4  # numbers that one n-gram is hashed to
_NEGATIONS = frozenset(
    (
        "not", "no", "never", "neither", "nor", "without", "except", "ignore", "ignoring", "avoid", "avoiding", "skip",
        "don't", "doesn't", "isn't", "instead", "rather",
    )
)  # fmt: skip
_ENDS_SCOPE = frozenset(("but", "and", "then", *",.;:!?"))
_STOP_WORDS = frozenset(
    (
        "a", "an", "the", "this", "that", "these", "those", "to", "of", "in", "on", "at", "by", "for", "from", "with",
        "into", "it", "its", "is", "are", "was", "be", "been", "being", "there", "here", "who", "which", "what",
        "where", "you", "your", "me", "my", "i", "we", "us", "please", "than", "as", "or", "so", "do", "does", "can",
        "could", "will", "would",
    )
)  # fmt: skip


def embed(text: str) -> np.ndarray:
    """Embed a kind's name or a sentence.

    Args:
        text: at least one word that isn't a mere article, preposition or the like.

    Returns:
        float32 [GOAL_SIZE], root mean square 1; read-only.

    Raises:
        ConfigError: no word in it says anything.
    """
    total = np.zeros(GOAL_SIZE)
    said = 0
    for word, negated in signed_words(text):
        total += -_word(word) if negated else _word(word)
        said += 1
    size = math.sqrt(float(total @ total))
    if not said or size == 0.0:
        raise ConfigError(f"goal: no word of '{text}' names anything; write e.g. 'the ringing phone, not the alarm'")
    out: np.ndarray = (total * (math.sqrt(GOAL_SIZE) / size)).astype(np.float32)
    out.flags.writeable = False
    return out


def told_goal(wanted: GoalSpec | None, text: str | None) -> np.ndarray | None:
    """Turn what a person says into what a policy is told.

    Args:
        wanted: the contract's `goal`.
        text: a kind's name or a sentence; `ANYTHING`, or None where nobody said a word, names nothing.

    Returns:
        float32 [GOAL_SIZE]; None for a policy that is told no goal.

    Raises:
        ConfigError: a goal was said to a policy that takes none; no word of it names anything; or the policy reads
            another embedding than this version writes.
    """
    if wanted is None:
        if text is not None:
            raise ConfigError("this policy takes no goal: it finds what it was trained to find; leave --goal out")
        return None
    if (wanted.embedding, wanted.size) != (EMBEDDING, GOAL_SIZE):
        raise ConfigError(
            f"this policy reads goals as {wanted.size} numbers of '{wanted.embedding}', this version writes "
            f"{GOAL_SIZE} of '{EMBEDDING}': install the version that exported it, or export it anew"
        )
    return nothing_named() if text is None or text.strip().lower() == ANYTHING else embed(text)


def spoken(kind: str) -> str:
    """Return a kind's name as a person says it, and as a task says it that names kinds outright."""
    return kind.replace("_", " ")


def nothing_named() -> np.ndarray:
    """Return the goal of a task that names none: zeros, float32 [GOAL_SIZE]."""
    return np.zeros(GOAL_SIZE, dtype=np.float32)


def signed_words(text: str) -> list[tuple[str, bool]]:
    """List the words that say something, each with whether it stands in the scope of a negation.

    A scope begins after a negating word and ends with its clause: at punctuation, "but", "and" or "then".
    """
    found: list[tuple[str, bool]] = []
    negated = False
    for token in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?|[,.;:!?]", text.lower().replace("\u2019", "'")):
        if token in _NEGATIONS:
            negated = True
        elif token in _ENDS_SCOPE:
            negated = False
        elif token not in _STOP_WORDS:
            found.append((token, negated))
    return found


@lru_cache(maxsize=4096)
def _word(word: str) -> np.ndarray:
    """Return a word's vector, float64 [GOAL_SIZE], of length 1."""
    marked = f"<{word}>"
    grams = {marked[i : i + n] for n in _GRAMS for i in range(len(marked) - n + 1)} | {marked}
    out = np.zeros(GOAL_SIZE)
    for gram in sorted(grams):  # sums of whole numbers: exact in any order, sorted all the same
        digest = hashlib.blake2b(gram.encode(), digest_size=4 * _PLACES, person=b"phonotaxis goal").digest()
        for place in range(_PLACES):
            number = int.from_bytes(digest[4 * place : 4 * place + 4], "little")
            out[(number >> 1) % GOAL_SIZE] += 1.0 if number & 1 else -1.0
    out /= max(math.sqrt(float(out @ out)), 1.0)
    out.flags.writeable = False
    return out
