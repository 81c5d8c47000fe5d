"""Where scenes come from: sources by name, presets of them, and files by their ending."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

from phonotaxis.configs import presets
from phonotaxis.configs.base import ConfigError, Frozen, did_you_mean
from phonotaxis.envs.scenes.scene import Scene, SceneError


class Loader(Protocol):
    """What a source's function looks like."""

    def __call__(self, name: str, seed: int, options: dict[str, Any]) -> Scene:
        """Build a scene from what the user wrote, a seed and options; raise SceneError for what can't be."""
        ...


@dataclass(frozen=True)
class SceneSource:
    """One way to get scenes.

    Attributes:
        name: what the user writes, unless a file's ending chooses it.
        entry_point: `module:function` of a `Loader`, imported when first used.
        description: one line for listings.
        suffixes: endings of the files it reads, e.g. `.yaml`; empty for a source that needs no file.
    """

    name: str
    entry_point: str
    description: str
    suffixes: tuple[str, ...] = ()


class ScenePreset(Frozen):
    """A YAML file of `configs/scenes`: a source and options for it."""

    source: str
    description: str = ""
    options: dict[str, Any] = {}


_SOURCES: dict[str, SceneSource] = {}


def register_source(source: SceneSource) -> None:
    """Make a source known.

    Raises:
        SceneError: another source has this name or reads files of this ending.
    """
    for other in _SOURCES.values():
        if other.name == source.name:
            raise SceneError(f"scene source '{source.name}' is registered already")
        taken = set(other.suffixes) & set(source.suffixes)
        if taken:
            raise SceneError(f"files {', '.join(sorted(taken))} are read by scene source '{other.name}' already")
    _SOURCES[source.name] = source


def sources() -> tuple[SceneSource, ...]:
    """Return the registered sources, by name."""
    return tuple(_SOURCES[name] for name in sorted(_SOURCES))


def load(name: str | Path, seed: int = 0, **options: Any) -> Scene:
    """Load a scene.

    Args:
        name: a source (`apartment`), a source with a seed (`apartment:3`, which is what a scene of it is
            called), a preset of `configs/scenes`, or the path of a file that a source reads.
        seed: chooses among what a procedural source can build; files take none, nor does a name with a seed.
        options: of the source; they override a preset's.

    Raises:
        SceneError: no such source or file, an option that isn't known, or a scene that can't be built.
    """
    text = str(name)
    by_suffix = {suffix: source for source in _SOURCES.values() for suffix in source.suffixes}
    suffix = Path(text).suffix.lower()
    if suffix in by_suffix:
        scene = _loader(by_suffix[suffix])(text, seed, options)
        return replace(scene, content=scene.digest())
    base, _, number = text.partition(":")
    if number:
        if not number.isdecimal():
            raise SceneError(f"scene '{text}': expected a seed (a whole number) after ':', got '{number}'")
        if seed not in (0, int(number)):
            raise SceneError(f"scene '{text}' names its seed: leave the seed {seed} out, or give '{base}' with it")
        seed = int(number)
    if seed < 0:
        raise SceneError(f"scene '{text}': the seed must be 0 or more, got {seed}")
    if base in _SOURCES and not _SOURCES[base].suffixes:
        return _loader(_SOURCES[base])(base, seed, options)
    if base in presets.names("scenes"):
        return _load_preset(base, seed, options)
    raise SceneError(_unknown(text, base, suffix))


def _load_preset(base: str, seed: int, options: dict[str, Any]) -> Scene:
    try:
        preset = presets.load("scenes", base, ScenePreset)
    except ConfigError as error:
        raise SceneError(str(error)) from None
    if preset.source not in _SOURCES:
        raise SceneError(f"scenes/{base}.yaml: unknown source '{preset.source}'{did_you_mean(preset.source, _SOURCES)}")
    return _loader(_SOURCES[preset.source])(base, seed, {**preset.options, **options})


def _loader(source: SceneSource) -> Loader:
    module, _, function = source.entry_point.partition(":")
    return cast(Loader, getattr(importlib.import_module(module), function))


def _unknown(text: str, base: str, suffix: str) -> str:
    named = [source.name for source in _SOURCES.values() if not source.suffixes]
    known = sorted({*named, *presets.names("scenes")})
    files = sorted(suffix for source in _SOURCES.values() for suffix in source.suffixes)
    what = f"can't read '{suffix}' files" if suffix and Path(text).exists() else f"unknown scene '{text}'"
    hint = "" if Path(text).exists() else did_you_mean(base, known)
    return f"{what}{hint} (known: {', '.join(known)}; files: {', '.join(files)})"


register_source(
    SceneSource(
        "apartment",
        "phonotaxis.envs.scenes.apartment:load_apartment",
        "procedural apartments with doors and furniture, one per seed",
    )
)
register_source(
    SceneSource(
        "empty_room",
        "phonotaxis.envs.scenes.empty_room:load_empty_room",
        "one rectangular room without furniture (options size_m, height_m and a material per surface)",
    )
)
register_source(
    SceneSource(
        "occupancy_map",
        "phonotaxis.envs.scenes.occupancy_map:load_occupancy_map",
        "a ROS occupancy map (map_server's YAML and image), extruded",
        suffixes=(".yaml", ".yml"),
    )
)
register_source(
    SceneSource(
        "mesh_file",
        "phonotaxis.envs.scenes.mesh_file:load_mesh_file",
        "a mesh (glTF, OBJ, PLY), cut into cells (options up, unit_m, ceiling_m, materials and more)",
        suffixes=(".glb", ".gltf", ".obj", ".ply"),
    )
)
