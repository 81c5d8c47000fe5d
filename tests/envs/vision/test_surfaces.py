from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs.vision import SEMANTIC_CLASSES
from phonotaxis.envs.scenes.materials import MATERIALS, Material
from phonotaxis.envs.vision import surfaces


def test_published_classes_keep_their_numbers():
    # Policies are trained on them: append, and append here.
    published = ("unknown", "wall", "floor", "ceiling", "door", "window", "furniture", "curtain")
    assert SEMANTIC_CLASSES[: len(published)] == published
    assert len(set(SEMANTIC_CLASSES)) == len(SEMANTIC_CLASSES) <= 256


def test_every_material_has_a_published_class_and_fits_a_surface_number():
    table, colors = surfaces.semantic_table(), surfaces.color_table()
    assert len(table) == len(colors) <= 2**16
    for index, material in enumerate(MATERIALS):
        seen = {SEMANTIC_CLASSES[table[index << surfaces.FACE_BITS | face]] for face in range(1, 7)}
        assert seen == {material.semantic_class}
    assert table[0] == 0
    assert not colors[0].any()


def test_faces_that_meet_look_different():
    colors = surfaces.color_table()
    for index in range(len(MATERIALS)):
        faces = colors[[index << surfaces.FACE_BITS | face for face in range(1, 7)]].astype(int)
        apart = np.abs(faces[:, None] - faces[None]).max(axis=2)
        assert apart[~np.eye(6, dtype=bool)].min() >= 3


def test_a_class_that_is_not_published_is_an_error(monkeypatch):
    odd = Material("moss", (0.1,) * 6, (0.1,) * 6, (1, 2, 3), "plant")
    monkeypatch.setattr(surfaces, "MATERIALS", (*MATERIALS, odd))
    with pytest.raises(ValueError, match=r"'moss' is of the class 'plant'.*append"):
        surfaces.semantic_table()
