"""Which way a mesh file's up points and what its unit is: as said, else found from its horizontal faces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from phonotaxis.envs.scenes.scene import SceneError

AXES = "xyz"
# Names of units, in the order of preference where heights fit several.
UNITS_M = {"metres": 1.0, "centimetres": 0.01, "millimetres": 0.001, "inches": 0.0254, "feet": 0.3048}
CEILING_M = (1.8, 12.0)  # heights that rooms and halls have
USUAL_CEILING_M = (2.1, 4.5)  # those of homes and offices
# The floor must exceed the largest wall by this much to tell up; a wall of a long room can exceed its floor.
CLEARLY = 1.3
# glTF is y up by its standard (2.0, section 3.4), so more is asked of what speaks against it. A wall at least
# `CEILING_M[0]` from the next exceeds the floor by more than this in halls of unusual height alone.
AGAINST_STANDARD = 1.6
UNUSUAL = 0.5  # weight of a floor whose ceiling is higher or lower than usual
LEVELS = 100  # bins over a mesh's extent; at 2.6 m as wide as a board is thick
STRONG = 0.25  # of the largest level's area: a floor or a ceiling, no table


class Frame(NamedTuple):
    """How a file's coordinates become metres, z up, and how that was found."""

    up: str
    up_reason: str
    unit_m: float
    unit_reason: str


class _Levels(NamedTuple):
    """What is horizontal if one axis is up: in the file's unit."""

    area: float  # of the largest level in the lower half
    storey: float  # largest height between two levels, or between the last one and the top


def find_frame(name: str, triangles: np.ndarray, up: str, unit_m: float | None, y_by_standard: bool) -> Frame:
    """Find which axis is up and how long a unit is.

    Up is the axis along which the lower half has the largest level of horizontal area: the floor. A unit is
    one that makes the height between floor and ceiling 1.8 to 12 m: metres where they do.

    Args:
        name: of the scene; opens every error.
        triangles: float64 [triangles, corners, xyz], finite, in the file's axes and unit.
        up: `x`, `y`, `z`, or `auto` to find it.
        unit_m: length of the file's unit in metres, or None to find it.
        y_by_standard: the file's format says that y is up.

    Raises:
        SceneError: what has to be found can't be; the message asks for it.
    """
    levels = [_levels(triangles, axis) for axis in range(3)]
    if up == "auto":
        up, up_reason = _find_up(name, triangles, levels, unit_m, y_by_standard)
    else:
        up_reason = "as given"
    if unit_m is not None:
        return Frame(up, up_reason, unit_m, "as given")
    unit = _find_unit(name, triangles, levels[AXES.index(up)].storey, up)
    return Frame(up, up_reason, UNITS_M[unit], f"{unit}, by the height of {levels[AXES.index(up)].storey:.4g}")


def beside(path: Path) -> tuple[str, float | None]:
    """Return up and unit from the stage configuration that habitat-sim keeps beside a mesh, where there is one.

    Its file is `<stem>.stage_config.json`; its keys `up` (a vector) and `units_to_meters` are read (habitat-sim's
    documentation, "Attributes templates").

    Returns:
        `x`, `y`, `z`, or `auto` where it says nothing; and the unit in metres or None.

    Raises:
        SceneError: the file is not JSON, or what it says of up or unit can't be used.
    """
    config = path.with_name(f"{path.stem}.stage_config.json")
    if not config.is_file():
        return "auto", None
    try:
        data = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SceneError(f"{config}: can't be read ({error}); mend it or give the options up and unit_m") from None
    data = data if isinstance(data, dict) else {}
    return _up_of(config, data.get("up")), _unit_of(config, data.get("units_to_meters"))


def _up_of(config: Path, up: Any) -> str:
    if up is None:
        return "auto"
    for axis, vector in zip(AXES, np.eye(3).tolist()):
        if up == vector:
            return axis
    raise SceneError(f"{config}: up: expected [1, 0, 0], [0, 1, 0] or [0, 0, 1], got {up}; give the option up")


def _unit_of(config: Path, unit_m: Any) -> float | None:
    if unit_m is None:
        return None
    if isinstance(unit_m, bool) or not isinstance(unit_m, (int, float)) or not 0.0 < unit_m <= 1000.0:
        raise SceneError(f"{config}: units_to_meters: expected a number up to 1000, got {unit_m}; give unit_m")
    return float(unit_m)


def to_world(triangles: np.ndarray, frame: Frame) -> np.ndarray:
    """Return triangles in metres, z up, right-handed: (x, -z, y) of a y-up file, (y, z, x) of an x-up one."""
    if frame.up == "y":
        turned = np.stack([triangles[..., 0], -triangles[..., 2], triangles[..., 1]], axis=-1)
    elif frame.up == "x":
        turned = np.stack([triangles[..., 1], triangles[..., 2], triangles[..., 0]], axis=-1)
    else:
        turned = triangles
    return turned * frame.unit_m


def _levels(triangles: np.ndarray, axis: int) -> _Levels:
    normal = 0.5 * np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    area = np.linalg.norm(normal, axis=1)
    flat = np.abs(normal[:, axis]) > 0.95 * area
    low, high = float(triangles[..., axis].min()), float(triangles[..., axis].max())
    if not flat.any():
        return _Levels(0.0, high - low)
    width = (high - low) / LEVELS
    if width <= 1e-9 * max(abs(low), abs(high), 1e-30):
        return _Levels(float(area[flat].sum()), 0.0)
    heights = triangles[flat][..., axis].mean(axis=1)
    counts, edges = np.histogram(heights, bins=LEVELS, range=(low, high), weights=area[flat])
    pairs = counts + np.append(counts[1:], 0.0)  # a level on the edge of two bins
    strong = edges[:-1][counts >= STRONG * pairs.max()]
    storey = float(np.diff(np.append(strong, high)).max(initial=0.0))
    return _Levels(float(pairs[: LEVELS // 2].max()), storey)


def _find_up(
    name: str, triangles: np.ndarray, levels: list[_Levels], unit_m: float | None, y_by_standard: bool
) -> tuple[str, str]:
    if unit_m is not None:
        units = [unit_m]
    else:
        units = [1.0] if y_by_standard else list(UNITS_M.values())
    scores = [level.area * max(_likely(level.storey * unit) for unit in units) for level in levels]
    if not any(scores):
        scores = [level.area for level in levels]
    best, second = sorted(range(3), key=lambda axis: -scores[axis])[:2]
    if y_by_standard:
        if best != 1 and scores[best] > AGAINST_STANDARD * levels[1].area:
            return AXES[best], f"against glTF's standard: its floor is {_times(levels[best].area, levels[1].area)} y's"
        return "y", "by glTF's standard"
    if scores[best] > 0.0 and scores[best] >= CLEARLY * scores[second]:
        return AXES[best], f"its floor is {_times(levels[best].area, levels[second].area)} that of {AXES[second]}"
    found = ", ".join(f"{axis} {level.area:.4g}" for axis, level in zip(AXES, levels))
    raise SceneError(
        f"{name}: which axis is up can't be told: the largest level floors are {found} (square units) in a mesh of "
        f"{extent_text(triangles)}; give the option up (x, y or z)"
    )


def _likely(height_m: float) -> float:
    """Return the weight of a ceiling's height: 0 where no room has it."""
    if USUAL_CEILING_M[0] <= height_m <= USUAL_CEILING_M[1]:
        return 1.0
    return UNUSUAL if _is_ceiling(height_m) else 0.0


def _times(area: float, other: float) -> str:
    return f"{area / other:.1f} times" if other > 0.0 else "far larger than"


def _find_unit(name: str, triangles: np.ndarray, storey: float, up: str) -> str:
    if _is_ceiling(storey):
        return "metres"
    fitting = [unit for unit, size_m in UNITS_M.items() if _is_ceiling(storey * size_m)]
    usual = [unit for unit in fitting if USUAL_CEILING_M[0] <= storey * UNITS_M[unit] <= USUAL_CEILING_M[1]]
    for choice in (fitting, usual):
        if len(choice) == 1:
            return choice[0]
    heights = ", ".join(f"{storey * size_m:.4g} m in {unit}" for unit, size_m in UNITS_M.items())
    raise SceneError(
        f"{name}: the unit can't be told: with {up} up, floor and ceiling (or top) of a mesh of "
        f"{extent_text(triangles)} are {storey:.4g} apart, that is {heights}, where 1.8 to 12 m is expected; "
        "give the option unit_m (1 for metres, 0.001 for millimetres)"
    )


def _is_ceiling(height_m: float) -> bool:
    return CEILING_M[0] <= height_m <= CEILING_M[1]


def extent_text(triangles: np.ndarray) -> str:
    """Return a mesh's extent along x, y and z in words, in its unit."""
    extent = np.ptp(triangles.reshape(-1, 3), axis=0)
    return " x ".join(f"{edge:.4g}" for edge in extent)
