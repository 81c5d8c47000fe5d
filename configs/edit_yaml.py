"""One number in a person's YAML file, changed as text: comments, order and spacing stay as they are."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from phonotaxis.configs.atomic_file import replace_file
from phonotaxis.configs.config_error import ConfigError

Keys = tuple[str, ...]


def with_values(text: str, values: Mapping[Keys, float]) -> str:
    """Return the text of a YAML mapping with numbers at these paths of keys, and nothing else changed.

    Args:
        text: one document.
        values: path of keys, e.g. ("devices", "camera", "latency_ms"), to number.

    Raises:
        ConfigError: it can't be told where to write (anchors, merges, tags, a value that is no mapping), so that
            something else would change too.
    """
    for keys, value in values.items():
        wanted = _set(yaml.safe_load(text), keys, value)
        try:
            text = _edited(text, keys, f"{value:g}")
            got = yaml.safe_load(text)
        except yaml.YAMLError:
            got = None
        if got is None or got != wanted:
            raise ConfigError(f"{'.'.join(keys)}: can't be written without changing something else; write it by hand")
    return text


def _set(data: Any, keys: Keys, value: float) -> dict[Any, Any]:
    """Return the data with one value in its place; what anchors share is not shared any more."""
    if not isinstance(data, dict):
        raise ConfigError(f"{keys[0]}: there is no mapping of keys to values to write it into; write it by hand")
    head, *rest = keys
    return {**data, head: _set(data.get(head, {}), tuple(rest), value) if rest else value}


def _edited(text: str, keys: Keys, value: str) -> str:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for depth, key in enumerate(keys):
        if not isinstance(node, yaml.MappingNode):
            break
        found = [inner for name, inner in node.value if name.value == key]
        if not found:
            return _inserted(text, node, _nested(keys[depth:], value))
        node = found[-1]
    else:
        if isinstance(node, yaml.ScalarNode):
            return text[: node.start_mark.index] + value + text[node.end_mark.index :]
    return text  # which isn't what was wanted, and is refused


def _nested(keys: Keys, value: str) -> str:
    head, *rest = keys
    return f"{head}: {{{_nested(tuple(rest), value)}}}" if rest else f"{head}: {value}"


def _inserted(text: str, mapping: yaml.MappingNode, entry: str) -> str:
    """Put an entry before a mapping's first, and before the comment on that: its column is the indentation."""
    start = mapping.start_mark
    if mapping.flow_style:
        at = start.index + 1
        return text[:at] + entry + (", " if mapping.value else "") + text[at:]
    at = start.index - start.column
    while (above := text.rfind("\n", 0, max(0, at - 1)) + 1) < at and text[above:at].lstrip().startswith("#"):
        at = above
    line_end = "\r\n" if "\r\n" in text else "\n"
    return text[:at] + " " * start.column + entry + line_end + text[at:]


def replace_text(path: Path, text: str) -> None:
    """Replace a file's text at once and for good, with its mode and owner; who follows a link finds it still.

    Raises:
        OSError: it can't be written; the old one stays.
    """
    path = path.resolve()
    was = path.stat()
    owner = was.st_uid, was.st_gid
    own = owner == (os.getuid(), os.getgid())
    replace_file(path, text.encode(), mode=stat.S_IMODE(was.st_mode), owner=None if own else owner)
