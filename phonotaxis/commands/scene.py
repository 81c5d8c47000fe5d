"""`phonotaxis scene`: look at a scene, draw it, listen to it, or take its mesh elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands import scene_listen
from phonotaxis.commands.command import Command, Group, Json, Seed, say
from phonotaxis.commands.scene_source import Name, Options, check_spares, default_path, load
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    from phonotaxis.envs.scenes import Scene

Out = Annotated[Path | None, typer.Option(help="File to write; named after the scene by default.")]


def show(name: Name = "apartment", seed: Seed = 0, option: Options = None, json: Json = False) -> None:
    """Say what a scene is: its size, rooms, walkable area and materials."""
    figures = _figures(load(name, seed, option))
    emit("scene show", figures, json)


def export(name: Name = "apartment", seed: Seed = 0, option: Options = None, out: Out = None) -> None:
    """Write a scene's mesh as GLB, which Blender, Foxglove and web viewers open."""
    from phonotaxis.envs.scenes.mesh import export_glb

    scene, path = load(name, seed, option), out or default_path(name, seed, ".glb")
    check_spares(path, scene)
    export_glb(scene, path)
    say(f"wrote {path}")


def png(name: Name = "apartment", seed: Seed = 0, option: Options = None, out: Out = None) -> None:
    """Draw a scene from above."""
    from phonotaxis.envs.scenes.render import top_down_png

    scene, path = load(name, seed, option), out or default_path(name, seed, ".png")
    check_spares(path, scene)
    top_down_png(scene, path)
    say(f"wrote {path}")


def _figures(scene: Scene) -> dict[str, Figure]:
    import numpy as np

    from phonotaxis.envs.scenes.materials import MATERIALS

    rows, columns = scene.shape
    cell_m2 = scene.cell_m**2
    used = np.unique(scene.side_material[scene.is_wall])
    return {
        "name": Figure(scene.name),
        "width": Figure(columns * scene.cell_m, "m"),
        "depth": Figure(rows * scene.cell_m, "m"),
        "height": Figure(float(scene.height_m), "m"),
        "cell": Figure(scene.cell_m, "m"),
        "rooms": Figure(int(scene.room.max()) + 1),
        "open_area": Figure(float((~scene.is_wall).sum() * cell_m2), "m2"),
        "walkable_area": Figure(float(scene.walkable().sum() * cell_m2), "m2"),
        "wall_materials": Figure(", ".join(MATERIALS[index].name for index in used)),
        **{key: Figure(value) for key, value in scene.info.items()},
    }


GROUP = Group(
    "scene",
    "Look at a scene, draw it, listen to it, or take its mesh elsewhere.",
    (
        Command(
            "show",
            show,
            (
                ("phonotaxis scene show apartment --seed 3", "a procedural apartment"),
                ("phonotaxis scene show house.yaml", "your own map, as the simulator understands it"),
                ("phonotaxis scene show house.obj --option up=z", "your own mesh, where up has to be told"),
            ),
        ),
        Command("export", export, (("phonotaxis scene export apartment --out flat.glb", "for a viewer"),)),
        scene_listen.COMMAND,
        Command("png", png, (("phonotaxis scene png house.yaml --out plan.png", "a picture from above"),)),
    ),
)
