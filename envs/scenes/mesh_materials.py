"""What the names in a mesh file say about the materials of its surfaces."""

from __future__ import annotations

import re

import numpy as np

from phonotaxis.configs.base import did_you_mean
from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.scenes.mesh_surface import Part
from phonotaxis.envs.scenes.options import SurfaceOptions, known_material
from phonotaxis.envs.scenes.scene import SceneError

# Words for matter tell more than words for things, and those more than words for parts of a building.
MATTER = {
    "plaster": "plaster drywall plasterboard gypsum stucco paint painted",
    "concrete": "concrete cement brick masonry asphalt screed",
    "glass": "glass glazing mirror window pane",
    "wood_floor": "wood wooden parquet laminate oak timber plank hardwood plywood floorboard",
    "tiles": "tile ceramic marble porcelain granite stone terrazzo",
    "carpet": "carpet rug carpeting doormat",
    "acoustic_ceiling": "acoustic",
    "upholstery": "upholstery fabric leather textile cloth foam",
    "curtain": "curtain drape blind",
}
THINGS = {
    "door_frame": "door doorframe",
    "cabinet": "cabinet wardrobe drawer dresser cupboard closet table desk counter sideboard fridge furniture",
    "upholstery": "sofa couch armchair cushion pillow chair",
    "bed": "bed mattress",
    "bookshelf": "bookshelf bookcase shelf book",
}
# What the options name for these.
BUILDING = {"walls": "wall partition facade", "floor": "floor ground", "ceiling": "ceiling roof"}
PAIRS = {("ceiling", "tile"): "acoustic_ceiling", ("ceiling", "plaster"): "ceiling_plaster"}


def part_materials(
    name: str, parts: tuple[Part, ...], given: dict[str, str], surfaces: SurfaceOptions
) -> tuple[np.ndarray, str]:
    """Find each part's material: as given by name, else by the words in its names.

    Args:
        name: of the scene; opens every error.
        parts: of the mesh.
        given: material by the name of a material, class, node or geometry in the file (in any case).
        surfaces: what walls, floors and ceilings are made of.

    Returns:
        int16 [parts], index into `materials.MATERIALS`, -1 where the names say nothing; and the finding in words.

    Raises:
        SceneError: a name that is given isn't in the file, or a material isn't known.
    """
    chosen = _checked(name, parts, given)
    found = [_material(part, chosen, surfaces) for part in parts]
    index = np.array([-1 if material is None else INDEX[material] for material in found], np.int16)
    said = dict.fromkeys(f"{part.names()[0]}: {material or 'by its place'}" for part, material in zip(parts, found))
    text = "; ".join(list(said)[:20])
    return index, text + (f"; {len(said) - 20} more" if len(said) > 20 else "")


def words(name: str) -> list[str]:
    """Split a name into lower-case words in the singular: `WoodFloors_012.b` is wood, floor, b."""
    return [_singular(word.lower()) for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _singular(word: str) -> str:
    if word.endswith("ves"):
        return f"{word[:-3]}f"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def material_of(name: str, surfaces: SurfaceOptions) -> str | None:
    """Return the material that a name speaks of, or None."""
    if name.lower() in INDEX:
        return name.lower()
    said = words(name)
    for pair, material in PAIRS.items():
        if set(pair) <= set(said):
            return material
    for table in (MATTER, THINGS):
        for material, known in table.items():
            if set(known.split()) & set(said):
                return material
    for option, known in BUILDING.items():
        if set(known.split()) & set(said):
            return str(getattr(surfaces, option))
    return None


def _checked(name: str, parts: tuple[Part, ...], given: dict[str, str]) -> dict[str, str]:
    known = sorted({known for part in parts for known in part.names()})
    lower = {known_name.lower() for known_name in known}
    for key, material in given.items():
        if key.lower() not in lower:
            raise SceneError(
                f"{name}: materials.{key}: no such name in the mesh{did_you_mean(key, known)} "
                f"(known: {', '.join(known[:20])}{', ...' if len(known) > 20 else ''})"
            )
        try:
            known_material(material)
        except ValueError as error:
            raise SceneError(f"{name}: materials.{key}: {error}, got '{material}'") from None
    return {key.lower(): material for key, material in given.items()}


def _material(part: Part, given: dict[str, str], surfaces: SurfaceOptions) -> str | None:
    for known in part.names():
        if known.lower() in given:
            return given[known.lower()]
    for known in part.names():
        material = material_of(known, surfaces)
        if material is not None:
            return material
    return None
