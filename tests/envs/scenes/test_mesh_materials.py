from __future__ import annotations

import pytest

from phonotaxis.envs.scenes.mesh_materials import material_of
from phonotaxis.envs.scenes.options import SurfaceOptions


@pytest.mark.parametrize(
    ("name", "material"),
    [
        ("OakParquet_02", "wood_floor"),
        ("GLASS_DOOR", "glass"),  # what it is made of before what it is
        ("Bookshelves.003", "bookshelf"),
        ("couches", "upholstery"),
        ("livingRoomCarpets", "carpet"),
        ("ceiling_tile", "acoustic_ceiling"),
        ("ceiling_plaster", "ceiling_plaster"),
        ("bedroom_wall", "concrete"),  # the option of walls; a bedroom is no bed
        ("floor", "tiles"),
        ("Cube.001", None),
        ("office", None),
    ],
)
def test_words_in_names_speak_of_materials(name, material):
    assert material_of(name, SurfaceOptions(walls="concrete", floor="tiles")) == material
