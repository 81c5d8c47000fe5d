"""Apartments with more detail than they come with, to see what detail costs.

The simulator's kernels see no triangles: they walk the cells of the plan. So detail is given to the plan, in two
ways. `refine` cuts each cell into smaller ones, which leaves the surface, and its triangles, as they are; `rough`
raises a share of the cells' floors and lowers their ceilings, each by an amount of its own up to 1.5 cm, so that
faces which were one become many. Walkers still roll over it.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from phonotaxis.configs.base import Frozen
from phonotaxis.envs.scenes.apartment import load_apartment
from phonotaxis.envs.scenes.options import read_options
from phonotaxis.envs.scenes.registry import SceneSource, register_source, sources
from phonotaxis.envs.scenes.scene import Scene

SOURCE = "apartment_in_detail"
ROUGH_M = 0.015  # less than wheels roll over, `walk.STEP_M`


class DetailOptions(Frozen):
    """Options of the source: cells along the edge of one that there was, and the share of rough ones."""

    refine: int = Field(default=1, ge=1, le=8)
    rough: float = Field(default=0.0, ge=0.0, le=1.0)


def register() -> None:
    """Make the source known, for as long as the process lives; a second time changes nothing."""
    if SOURCE not in {source.name for source in sources()}:
        register_source(
            SceneSource(SOURCE, "phonotaxis.envs.bench.detail:load_detailed", "apartments with finer and rougher cells")
        )


def load_detailed(name: str, seed: int, options: dict[str, Any]) -> Scene:
    """Build the apartment of a seed and give it detail.

    Raises:
        SceneError: an option is unknown or out of range.
    """
    wanted = read_options(DetailOptions, options, name)
    return in_detail(load_apartment("apartment", seed, {}), wanted.refine, wanted.rough)


def in_detail(scene: Scene, refine: int, rough: float) -> Scene:
    """Return a scene with finer cells, a share of which are rough.

    Args:
        scene: what to start from.
        refine: cells along the edge of one that there was.
        rough: share of the open cells, 0..1.
    """
    grids = ("floor_m", "ceiling_m", "side_material", "floor_material", "ceiling_material", "room")
    fine = {name: getattr(scene, name).repeat(refine, axis=0).repeat(refine, axis=1) for name in grids}
    finer = replace(scene, cell_m=scene.cell_m / refine, **fine)
    rng = np.random.Generator(np.random.PCG64([zlib.crc32(scene.name.encode()), refine]))
    cells = np.flatnonzero(~finer.is_wall)
    chosen = rng.permutation(cells)[: round(rough * cells.size)]
    finer.floor_m.reshape(-1)[chosen] += rng.uniform(0.0, ROUGH_M, chosen.size).astype(np.float32)
    finer.ceiling_m.reshape(-1)[chosen] -= rng.uniform(0.0, ROUGH_M, chosen.size).astype(np.float32)
    return finer


def share_for(scene: Scene, refine: int, times: float) -> float:
    """Find the share of rough cells that gives a scene so many times its triangles, by halving.

    Args:
        scene: with its own triangles.
        refine: see `in_detail`.
        times: how many times as many.

    Returns:
        The share, 0..1; 1 where even that gives fewer.
    """
    wanted = times * len(scene.mesh.faces)
    low, high = 0.0, 1.0
    if len(in_detail(scene, refine, 1.0).mesh.faces) <= wanted:
        return 1.0
    for _ in range(9):
        middle = 0.5 * (low + high)
        few = len(in_detail(scene, refine, middle).mesh.faces) < wanted
        low, high = (middle, high) if few else (low, middle)
    return 0.5 * (low + high)
