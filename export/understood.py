"""What a policy makes of a goal that is said: read from its file, before it runs and without running it.

A policy that understands sentences (`phonotaxis instruct`) holds a perceptron of two layers that names a known kind of
sound. Whoever sends a robot somewhere by a sentence wants to hear first what was made of it; here that perceptron's
weights are found in the file by their names and multiplied by NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from phonotaxis.configs.goal import SURE, spoken
from phonotaxis.export.scan import float_tensors

KINDS_KEY = "understood_kinds"  # of the network's sizes in a bundle's provenance
_LAYERS = "weight.front_ends.understanding.layers."


@dataclass(frozen=True)
class Understood:
    """What a goal is taken for.

    Attributes:
        kinds: that the policy knows by name.
        kind: the likeliest.
        probability: of it, 0 to 1.
    """

    kinds: tuple[str, ...]
    kind: str
    probability: float

    @property
    def sure(self) -> bool:
        """The policy is told this kind's name; otherwise the words, as they are."""
        return self.probability >= SURE

    def told(self, text: str) -> str:
        """Say it to the person who said `text`."""
        if self.sure:
            return f"'{text}' is taken for: {spoken(self.kind)} ({self.probability:.0%} sure)"
        known = ", ".join(map(spoken, self.kinds))
        return f"'{text}' is taken for no kind that this policy knows by name ({known}): it gets the words as they are"


def understood_kinds(network: object) -> tuple[str, ...]:
    """Return the kinds that a network, by the sizes that its exporter wrote, knows by name; none if it says nothing."""
    kinds = network.get(KINDS_KEY) if isinstance(network, dict) else None
    if not isinstance(kinds, list) or not all(isinstance(kind, str) and kind.isprintable() for kind in kinds):
        return ()  # what can't be printed might move the cursor of whoever is told
    return tuple(kinds)


def understood(data: bytes, kinds: tuple[str, ...], goal: np.ndarray) -> Understood | None:
    """Ask a policy's file what it takes a goal for.

    Args:
        data: the file, which `scan_model` has passed.
        kinds: of `understood_kinds`.
        goal: float32 [n], of `configs.goal.told_goal`.

    Returns:
        None where the policy takes words as they are, the goal names nothing, or the file doesn't hold what it says.
    """
    if not kinds or not goal.any():
        return None
    found = float_tensors(data, _LAYERS)
    layers = {name: np.frombuffer(raw, dtype="<f4").reshape(shape) for name, (shape, raw) in found.items()}
    hidden, last = (_layer(layers, number) for number in ("0", "2"))
    if hidden is None or last is None or hidden[0].shape[1] != goal.size:
        return None
    if last[0].shape != (len(kinds) + 1, hidden[0].shape[0]):
        return None
    logits = last[0] @ np.maximum(hidden[0] @ goal + hidden[1], 0.0) + last[1]
    if not np.isfinite(logits).all():
        return None
    likely = np.exp(logits - logits.max())
    likely /= likely.sum()
    best = int(likely[:-1].argmax())  # the last is none of them
    return Understood(kinds, kinds[best], float(likely[best]))


def _layer(layers: Mapping[str, np.ndarray], number: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return matrix [outputs, inputs] and bias of a layer; the exporter drops a bias of zeros, and may transpose."""
    matrix = layers.get(f"{number}.weight")
    if matrix is None and (turned := layers.get(f"{number}.weight.T")) is not None:
        matrix = turned.T
    if matrix is None or matrix.ndim != 2:
        return None
    bias = layers.get(f"{number}.bias", np.zeros(len(matrix), dtype=np.float32))
    return (matrix, bias) if bias.shape == (len(matrix),) else None
