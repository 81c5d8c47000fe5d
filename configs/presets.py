"""Presets: the YAML files beside this module, and the user's own of the same form.

`like: NAME` in a file stands for all that a shipped preset of its kind says, but for what is named beside it, as deep
as both are mappings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from phonotaxis.configs.base import ConfigError, Model, build, changed, did_you_mean, shown

PRESETS = Path(__file__).parent


def names(kind: str) -> list[str]:
    """List the shipped presets of a kind: arrays, robots, scenes, tasks or training."""
    return sorted(path.stem for path in (PRESETS / kind).glob("*.yaml"))


def load(kind: str, name: str | Path, model: type[Model]) -> Model:
    """Load a shipped preset by name, or the user's own by path.

    Args:
        kind: folder of the presets: arrays, robots, scenes, tasks or training.
        name: a preset's name, or a path that ends in .yaml or .yml.
        model: the type to build.

    Raises:
        ConfigError: no such preset or file, not YAML, or not of the model's form.
    """
    if str(name).endswith((".yaml", ".yml")):
        return build(model, _whole(kind, read_yaml(Path(name)), str(name)), str(name))
    where = f"{kind}/{name}.yaml"
    return build(model, _whole(kind, _shipped(kind, str(name)), where), where)


def _shipped(kind: str, name: str) -> Any:
    path = PRESETS / kind / f"{name}.yaml"
    if "/" in name or not path.is_file():
        known = names(kind)
        raise ConfigError(
            f"unknown preset '{name}' in {kind}{did_you_mean(name, known)} (known: {', '.join(known)}; "
            "or give the path of a .yaml file)"
        )
    return read_yaml(path)


def _whole(kind: str, data: Any, where: str) -> Any:
    """Return what a file says with what the preset that it is like says."""
    if not isinstance(data, dict) or "like" not in data:
        return data
    like, known = data["like"], names(kind)
    if like not in known:
        raise ConfigError(f"{where}: like: expected a shipped preset ({', '.join(known)}), got {shown(like)}")
    other = _whole(kind, _shipped(kind, like), f"{kind}/{like}.yaml")
    return changed(other, {key: value for key, value in data.items() if key != "like"})


def read_yaml(path: Path) -> Any:
    """Read one YAML document safely.

    Raises:
        ConfigError: the file is missing, unreadable, over 1 MB or not YAML, or says a key twice.
    """
    try:
        if path.stat().st_size > 1_000_000:
            raise ConfigError(f"{path}: over 1 MB, too large for a configuration file")
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file; expected YAML") from None


def parse_yaml(text: str, where: str) -> Any:
    """Read the text of one YAML document safely.

    Args:
        text: of the document.
        where: what the user knows it as; opens every error.

    Raises:
        ConfigError: it is not YAML, or one of its mappings has a key twice.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except _RepeatedKeyError as error:
        raise ConfigError(f"{where}: {error.problem}") from None
    except UnicodeError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not YAML ({' '.join(str(error).split())[:200]})") from None


class _RepeatedKeyError(yaml.MarkedYAMLError):
    """A mapping has a key twice."""


class _Loader(yaml.SafeLoader):
    """Reads as `yaml.safe_load` does, which keeps the last of a key's values, but refuses a key that comes again.

    Keys are looked at before those of `<<` are filled in, which may be said anew beside it.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read a mapping, see that each of its keys is said once."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line, named = key.start_mark.line + 1, (key.tag, key.value)
            if named in lines:
                raise _RepeatedKeyError(
                    problem=f"key '{key.value}' is said in line {lines[named]} and again in line {line}; keep one"
                )
            lines[named] = line
        return node
