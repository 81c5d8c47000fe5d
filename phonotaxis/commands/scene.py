"""`phonotaxis scene`: look at a scene, draw it, or take its mesh elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonotaxis.commands.command import Command, Group, Json, Seed, say
from phonotaxis.errors import UserError
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    from phonotaxis.envs.scenes import Scene

Name = Annotated[
    str,
    typer.Argument(
        help="A scene source, e.g. apartment, or the path of a ROS map's YAML or of a mesh (GLB, OBJ, PLY)."
    ),
]
Out = Annotated[Path | None, typer.Option(help="File to write; named after the scene by default.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="An option of the source, e.g. up=z or cell_m=0.05; may be given several times."),
]


def show(name: Name = "apartment", seed: Seed = 0, option: Options = None, json: Json = False) -> None:
    """Say what a scene is: its size, rooms, walkable area and materials."""
    figures = _figures(_load(name, seed, option))
    emit("scene show", figures, json)


def export(name: Name = "apartment", seed: Seed = 0, option: Options = None, out: Out = None) -> None:
    """Write a scene's mesh as GLB, which Blender, Foxglove and web viewers open."""
    from phonotaxis.envs.scenes.mesh import export_glb

    path = out or _default_path(name, seed, ".glb")
    export_glb(_load(name, seed, option), path)
    say(f"wrote {path}")


def png(name: Name = "apartment", seed: Seed = 0, option: Options = None, out: Out = None) -> None:
    """Draw a scene from above."""
    from phonotaxis.envs.scenes.render import top_down_png

    path = out or _default_path(name, seed, ".png")
    top_down_png(_load(name, seed, option), path)
    say(f"wrote {path}")


def _load(name: str, seed: int, option: list[str] | None) -> Scene:
    from phonotaxis.envs import scenes

    return scenes.load(name, seed=seed, **_read_options(option or []))


def _read_options(given: list[str]) -> dict[str, Any]:
    """Read `key=value` pairs, whose values are YAML: numbers, words, lists, `{name: value}`."""
    import yaml

    options: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key.isidentifier() or not equals:
            raise UserError(f"--option {text}: expected key=value, e.g. --option up=z")
        if key in ("name", "seed"):
            raise UserError(f"--option {text}: {key} is not an option of a source; see --help")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(
                f"--option {text}: '{value}' is not a value in YAML, e.g. 0.05, z or {{wall: glass}}"
            ) from None
    return options


def _default_path(name: str, seed: int, suffix: str) -> Path:
    path = Path(name)
    if not path.suffix:
        return Path(f"{path.name}-{seed}{suffix}")
    # Beside a house.glb of the user's own, the default must not be house.glb.
    return Path(f"{path.stem}-scene{suffix}" if path.suffix == suffix else f"{path.stem}{suffix}")


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
    "Look at a scene, draw it, or take its mesh elsewhere.",
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
        Command("png", png, (("phonotaxis scene png house.yaml --out house.png", "a picture from above"),)),
    ),
)
