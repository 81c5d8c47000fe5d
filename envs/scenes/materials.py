"""Surface materials: what they absorb and scatter in octave bands, and how they look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OCTAVE_BANDS_HZ = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0)


@dataclass(frozen=True)
class Material:
    """One surface material.

    Attributes:
        name: unique name.
        absorption: energy absorption coefficient per band of `OCTAVE_BANDS_HZ`, 0..1.
        scattering: share of the reflected energy that is diffuse, per band, 0..1.
        color: RGB, 0..255.
        semantic_class: what a camera would call it.
    """

    name: str
    absorption: tuple[float, float, float, float, float, float]
    scattering: tuple[float, float, float, float, float, float]
    color: tuple[int, int, int]
    semantic_class: str


_SMOOTH = (0.05, 0.05, 0.05, 0.05, 0.1, 0.1)
_ROUGH = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
_CLUTTER = (0.3, 0.4, 0.5, 0.6, 0.7, 0.7)

# Absorption from the tables in M. Vorländer, Auralization (Springer 2008), annex; scattering after the same
# annex, for furniture rounded up since boxes stand for whole pieces.
MATERIALS: tuple[Material, ...] = (
    Material("plaster", (0.10, 0.08, 0.06, 0.05, 0.05, 0.05), _SMOOTH, (225, 220, 210), "wall"),
    Material("concrete", (0.02, 0.02, 0.03, 0.03, 0.04, 0.05), _SMOOTH, (160, 160, 160), "wall"),
    Material("glass", (0.25, 0.15, 0.08, 0.05, 0.04, 0.03), _SMOOTH, (170, 210, 225), "window"),
    Material("wood_floor", (0.15, 0.11, 0.10, 0.07, 0.06, 0.07), _SMOOTH, (170, 125, 80), "floor"),
    Material("tiles", (0.01, 0.01, 0.02, 0.02, 0.03, 0.03), _SMOOTH, (205, 205, 200), "floor"),
    Material("carpet", (0.05, 0.10, 0.20, 0.35, 0.50, 0.60), _ROUGH, (120, 95, 110), "floor"),
    Material("ceiling_plaster", (0.12, 0.10, 0.07, 0.06, 0.05, 0.05), _SMOOTH, (240, 240, 238), "ceiling"),
    Material("acoustic_ceiling", (0.30, 0.50, 0.70, 0.80, 0.80, 0.75), _ROUGH, (235, 235, 230), "ceiling"),
    Material("door_frame", (0.14, 0.10, 0.08, 0.08, 0.08, 0.08), _SMOOTH, (140, 100, 70), "door"),
    Material("cabinet", (0.20, 0.15, 0.10, 0.08, 0.08, 0.08), _CLUTTER, (150, 110, 75), "furniture"),
    Material("upholstery", (0.25, 0.40, 0.55, 0.65, 0.70, 0.70), _CLUTTER, (95, 110, 140), "furniture"),
    Material("bed", (0.30, 0.45, 0.60, 0.70, 0.75, 0.75), _CLUTTER, (180, 175, 200), "furniture"),
    Material("bookshelf", (0.20, 0.25, 0.30, 0.35, 0.40, 0.40), _CLUTTER, (120, 85, 60), "furniture"),
    Material("curtain", (0.07, 0.15, 0.35, 0.55, 0.65, 0.60), _ROUGH, (185, 150, 120), "curtain"),
)

INDEX = {material.name: index for index, material in enumerate(MATERIALS)}


def absorption_table(scale: float = 1.0) -> np.ndarray:
    """Return absorption coefficients times a scale, 1 at most, float32 [materials, bands]."""
    return _scaled([material.absorption for material in MATERIALS], scale)


def scattering_table(scale: float = 1.0) -> np.ndarray:
    """Return scattering coefficients times a scale, 1 at most, float32 [materials, bands]."""
    return _scaled([material.scattering for material in MATERIALS], scale)


def _scaled(coefficients: list[tuple[float, ...]], scale: float) -> np.ndarray:
    return np.minimum(np.array(coefficients) * scale, 1.0).astype(np.float32)
