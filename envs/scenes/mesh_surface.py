"""Mesh files (glTF, OBJ, PLY) as what all of them have: triangles, and names of what they belong to."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import trimesh

from phonotaxis.envs.scenes.obj_text import Materials, readable
from phonotaxis.envs.scenes.scene import SceneError

SUFFIXES = (".glb", ".gltf", ".obj", ".ply")
MOST_BYTES = 1_000_000_000
FARTHEST = 1e9  # of a coordinate, in any unit; beyond it the arithmetic of single cells loses its digits
# What trimesh raises on files that are cut short or aren't what their ending says.
_READ_ERRORS = (
    ValueError, LookupError, TypeError, OSError, AttributeError, ArithmeticError, AssertionError,
    ImportError, NotImplementedError, MemoryError, RecursionError, struct.error, DeprecationWarning,
    NameError, EOFError, zlib.error,
)  # fmt: skip
_CLASS_KEYS = ("semantic_class", "class", "category", "label", "material")


class Part(NamedTuple):
    """What a file calls a piece of a mesh; empty where it says nothing."""

    material: str
    semantic_class: str
    node: str
    geometry: str

    @property
    def label(self) -> str:
        """The name to show: the node's, else the geometry's."""
        return self.node or self.geometry

    def names(self) -> tuple[str, ...]:
        """Return the names that tell most about the matter first, without empty ones and repeats."""
        return tuple(dict.fromkeys(name for name in self if name))


@dataclass(frozen=True, eq=False)
class Surface:
    """All triangles of a file, in its own axes and unit.

    Attributes:
        triangles: float64 [triangles, corners, xyz], finite; triangles without area are left out.
        part: int32 [triangles], index into `parts`.
        parts: the pieces of the file.
    """

    triangles: np.ndarray
    part: np.ndarray
    parts: tuple[Part, ...]


def read_surface(path: Path) -> Surface:
    """Read a mesh file; the transforms of its nodes are applied.

    Args:
        path: of a file with one of the endings `SUFFIXES`.

    Raises:
        SceneError: the file is missing, is no mesh, is broken, or holds no triangle with an area.
    """
    loaded = _load(path)
    parts, pieces = [], []
    for part, triangles in _pieces(path, loaded):
        parts.append(part)
        pieces.append(triangles)
    count = sum(len(piece) for piece in pieces)
    if count == 0:
        raise SceneError(f"{path}: {_without_triangles(loaded)}")
    triangles = np.concatenate(pieces)
    index = np.repeat(np.arange(len(pieces), dtype=np.int32), [len(piece) for piece in pieces])
    _check_coordinates(path, triangles)
    kept = _has_area(triangles)
    if not kept.any():
        raise SceneError(f"{path}: none of its {count} triangles has an area, so there is nothing to stand on")
    return Surface(triangles[kept], index[kept], tuple(parts))


def _load(path: Path) -> trimesh.Scene:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SceneError(f"{path}: can't be read ({error.strerror or error})") from None
    if not path.is_file():
        raise SceneError(f"{path}: not a file; expected a mesh ({', '.join(SUFFIXES)})")
    if size == 0 or size > MOST_BYTES:
        what = "empty" if size == 0 else f"{size / 1e9:.1f} GB, more than {MOST_BYTES / 1e9:.0f} GB; simplify the mesh"
        raise SceneError(f"{path}: the file is {what}")
    try:
        # Numbers that aren't any are looked for below, where they can be counted.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # numpy's words for text that is no number, e.g. in the faces of an OBJ; the rest would be made up.
            warnings.filterwarnings("error", "string or file could not be read", DeprecationWarning)
            return _load_scene(path)
    except _READ_ERRORS as error:
        raise SceneError(
            f"{path}: not a {path.suffix} file that can be read ({_reason(error)}); open it in a viewer and export "
            "it again"
        ) from None


def _reason(error: BaseException) -> str:
    if isinstance(error, ImportError):  # trimesh asks for a package that guesses encodings
        return "its text is not UTF-8"
    if isinstance(error, FileNotFoundError):
        # What trimesh looks for when the JSON can't be parsed.
        return "its JSON is broken" if str(error) == "model.gltf" else f"it names {error}, which is not beside it"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _load_scene(path: Path) -> trimesh.Scene:
    if path.suffix.lower() != ".obj":
        return trimesh.load_scene(path, process=False)
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:  # OBJ has no rule; what isn't UTF-8 comes from old Windows programs
        text = data.decode("latin-1")
    return trimesh.load_scene(
        io.StringIO(readable(text)), file_type="obj", resolver=Materials(path, text), process=False,
        split_objects=True, split_groups=True,
    )  # fmt: skip


def _pieces(path: Path, loaded: trimesh.Scene) -> Iterator[tuple[Part, np.ndarray]]:
    """Yield each placed mesh's names and triangles, float64 [triangles, 3, 3]."""
    for node in loaded.graph.nodes_geometry:
        try:
            transform, geometry = loaded.graph[node]
        except ValueError as error:  # below a node that trimesh leaves out, such as a camera
            raise SceneError(f"{path}: the place of '{node}' isn't known ({error}); put it under the root") from None
        mesh = loaded.geometry[geometry]
        if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
            continue
        vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces)
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise SceneError(f"{path}: '{geometry}' has vertices of {vertices.shape[-1]} coordinates; expected x, y, z")
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise SceneError(
                f"{path}: '{geometry}' has a face whose corner is vertex {int(faces.max())}, where there are "
                f"{len(vertices)}: the file is damaged; export it again"
            )
        with np.errstate(all="ignore"):
            placed = vertices[faces] @ transform[:3, :3].T + transform[:3, 3]
        if np.linalg.det(transform[:3, :3]) < 0.0:  # a mirror turns triangles over
            placed = placed[:, ::-1]
        yield _part(loaded, str(node), str(geometry), mesh), placed


def _part(loaded: trimesh.Scene, node: str, geometry: str, mesh: trimesh.Trimesh) -> Part:
    material = getattr(getattr(mesh.visual, "material", None), "name", None)
    tree = loaded.graph.transforms
    if mesh.metadata.get("from_gltf_primitive"):  # trimesh puts each under a node of a name made up anew
        node = str(tree.parents.get(node, node))
    edge = tree.edge_data.get((tree.parents.get(node), node), {})
    extras = [mesh.metadata, edge.get("metadata"), edge.get("extras")]
    return Part(str(material or ""), _semantic_class(extras), node, geometry)


def _semantic_class(extras: list[Any]) -> str:
    """Return the class that a file's free-form properties name, or an empty string."""
    for group in extras:
        for key in _CLASS_KEYS:
            value = group.get(key) if isinstance(group, dict) else None
            if isinstance(value, str) and value:
                return value
    return ""


def _without_triangles(loaded: trimesh.Scene) -> str:
    kinds = {type(geometry).__name__ for geometry in loaded.geometry.values()}
    if "PointCloud" in kinds:
        return "a cloud of points without faces; mesh it first (Poisson reconstruction in MeshLab, say)"
    return (
        "no triangles in it; expected a mesh with faces (Draco or meshopt compression is not read: export without it)"
    )


def _check_coordinates(path: Path, triangles: np.ndarray) -> None:
    finite = np.isfinite(triangles).all(axis=(1, 2))
    if not finite.all():
        raise SceneError(
            f"{path}: {int((~finite).sum())} of {len(finite)} triangles have a corner that is not a finite number; "
            "clean the mesh"
        )
    farthest = float(np.abs(triangles).max())
    if farthest > FARTHEST:
        raise SceneError(f"{path}: a coordinate of {farthest:.3g}: no building is there in any unit; clean the mesh")


def _has_area(triangles: np.ndarray) -> np.ndarray:
    """Bool [triangles]: the corners don't lie on one line."""
    first, second = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    doubled = np.linalg.norm(np.cross(first, second), axis=1)
    longest = np.maximum((first**2).sum(axis=1), (second**2).sum(axis=1))
    return doubled > 1e-9 * longest
