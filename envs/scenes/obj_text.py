"""OBJ files as trimesh reads them right: counted from the beginning, and with their materials' names."""

from __future__ import annotations

import re
from pathlib import Path

import trimesh

_MATERIALS = "materials.mtl"
_FROM_THE_END = re.compile(r"^[ \t]*f\b.*[ /\t]-\d", re.MULTILINE)
_LIBRARY = re.compile(r"^[ \t]*mtllib\b.*$", re.MULTILINE)
_USED = re.compile(r"^[ \t]*usemtl[ \t]+(.*?)[ \t]*$", re.MULTILINE)
_COUNTED = ("v", "vt", "vn")  # in the order in which a face names them


class Materials(trimesh.resolvers.FilePathResolver):
    """Stands for the library of materials beside an OBJ file, whose names are all that counts here.

    So the file may be lost, or hold what trimesh can't read, and nothing but the mesh is opened.

    Args:
        path: of the OBJ file.
        text: that it holds.
    """

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(str(path))
        self.text = "".join(f"newmtl {name}\n" for name in dict.fromkeys(_USED.findall(text)))

    def get(self, name: str) -> str:
        """Return the library, and of anything else that there is none."""
        if name.strip() != _MATERIALS:
            raise FileNotFoundError(name)
        return self.text


def readable(text: str) -> str:
    """Return an OBJ file's text with the library that `Materials` stands for, and faces' indices from the beginning.

    The format counts a negative index back from the last vertex above the face; trimesh counts from the file's end.

    Raises:
        IndexError: a face counts back beyond the first vertex.
    """
    text = text.replace("\r\n", "\n").replace("\\\n", " ")
    if _FROM_THE_END.search(text):
        text = _from_the_beginning(text)
    return f"mtllib {_MATERIALS}\n" + _LIBRARY.sub("", text)


def _from_the_beginning(text: str) -> str:
    counts = dict.fromkeys(_COUNTED, 0)
    lines = []
    for line in text.split("\n"):
        words = line.split("#")[0].split()
        if words and words[0] in counts:
            counts[words[0]] += 1
        elif words and words[0] == "f":
            line = " ".join(["f", *(_corner(word, [counts[kind] for kind in _COUNTED]) for word in words[1:])])
        lines.append(line)
    return "\n".join(lines)


def _corner(word: str, counts: list[int]) -> str:
    return "/".join(_index(index, count) for index, count in zip(word.split("/"), counts))


def _index(index: str, count: int) -> str:
    if not index.startswith("-"):
        return index
    absolute = count + 1 + int(index)
    if absolute < 1:
        raise IndexError(f"a face names {index} of the {count} above it")
    return str(absolute)
