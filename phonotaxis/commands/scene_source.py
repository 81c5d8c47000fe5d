"""What the commands about scenes share: how a scene is named, loaded, and what files about it are called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonotaxis.errors import UserError

if TYPE_CHECKING:
    from phonotaxis.envs.scenes import Scene

Name = Annotated[
    str,
    typer.Argument(
        help="A scene source, e.g. apartment, or the path of a ROS map's YAML or of a mesh (GLB, OBJ, PLY)."
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="An option of the source, e.g. up=z or cell_m=0.05; may be given several times."),
]


def load(name: str, seed: int, option: list[str] | None) -> Scene:
    """Load the scene that a command line names."""
    from phonotaxis.envs import scenes

    return scenes.load(name, seed=seed, **read_options(option or []))


def read_options(given: list[str]) -> dict[str, Any]:
    """Read `key=value` pairs, whose values are YAML: numbers, words, lists, `{name: value}`.

    Raises:
        UserError: a pair isn't one, or its key isn't an option of a source.
    """
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
        except (yaml.YAMLError, ValueError, RecursionError):
            raise UserError(
                f"--option {text}: '{value}' is not a value in YAML, e.g. 0.05, z or {{wall: glass}}"
            ) from None
    return options


def default_path(name: str, seed: int, suffix: str) -> Path:
    """Name a file about a scene after it."""
    path = Path(name)
    if not path.suffix:
        return Path(f"{path.name}-{seed}{suffix}")
    # Beside a house.yaml of the user's own lie its house.png, a house.glb, and more.
    return Path(f"{path.stem}-scene{suffix}")


def check_spares(path: Path, scene: Scene) -> None:
    """See that a file about a scene replaces none that the scene was loaded from.

    Raises:
        UserError: it would be the scene's own file, or the image of its map.
    """
    own = [Path(scene.name)]
    if "image" in scene.info:
        own.append(own[0].parent / scene.info["image"])
    for file in own:
        if path.exists() and file.exists() and path.samefile(file):
            raise UserError(f"{path}: the scene {scene.name} is made of it; give another file by --out")
