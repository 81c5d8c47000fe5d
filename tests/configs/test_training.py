"""Shipped trainings: they load, and an ablation lacks one thing and nothing else."""

from __future__ import annotations

import pytest

from phonotaxis.configs import presets
from phonotaxis.configs.imitation import ImitationConfig


@pytest.mark.parametrize("name", presets.names("training"))
def test_a_shipped_training_loads(name: str) -> None:
    assert presets.load("training", name, ImitationConfig).minutes <= 180.0


@pytest.mark.parametrize(
    ("lacks", "differs"),
    [
        ("deaf", {"senses": ("depth",)}),
        ("blind", {"senses": ("audio",)}),
        ("one_microphone", {"senses": ("one_microphone", "depth")}),
        ("no_memory", {"memory": "none", "map_cells": 0}),
    ],
)
def test_an_ablation_is_the_full_training_but_for_one_thing(lacks: str, differs: dict[str, object]) -> None:
    full = presets.load("training", "half_hour", ImitationConfig)
    without = presets.load("training", f"half_hour_{lacks}", ImitationConfig)
    assert without == full.model_copy(update={"policy": full.policy.model_copy(update=differs)})
