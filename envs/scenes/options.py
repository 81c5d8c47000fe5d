"""What the options of several scene sources share: the materials of surfaces, and how options are read."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from phonotaxis.configs.base import ConfigError, Frozen, Model, build, did_you_mean
from phonotaxis.envs.scenes.materials import INDEX
from phonotaxis.envs.scenes.scene import SceneError


class SurfaceOptions(Frozen):
    """Materials, by name, of what the source itself says nothing about."""

    walls: str = "plaster"
    floor: str = "wood_floor"
    ceiling: str = "ceiling_plaster"

    @field_validator("walls", "floor", "ceiling")
    @classmethod
    def _known(cls, name: str) -> str:
        return known_material(name)


def known_material(name: str) -> str:
    """Return the name of a material as it is.

    Raises:
        ValueError: there is no such material.
    """
    if name not in INDEX:
        raise ValueError(f"unknown material{did_you_mean(name, INDEX)} (known: {', '.join(sorted(INDEX))})")
    return name


def read_options(model: type[Model], options: dict[str, Any], name: str) -> Model:
    """Build a source's options from what the user gave.

    Args:
        model: the type of the options.
        options: by name.
        name: of the scene; opens every error.

    Raises:
        SceneError: an option is unknown or out of range.
    """
    try:
        return build(model, options, name)
    except ConfigError as error:
        raise SceneError(str(error)) from None
