"""Fields on disk: what took a trace to find, kept for the next process under a hash of all it depends on.

One file a source: a checksum, then NumPy's zip of arrays, without pickle. Files are written beside and moved into
place, so that processes may share a folder; a damaged one is removed and its field traced anew. What is read has the
very bits that a trace would give: the hash covers the scene, the source, the text of the code and the versions it runs
with.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import platform
import tempfile
import time
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import scipy
from numba.core.codegen import get_host_cpu_features

from phonotaxis.configs.atomic_file import PART, replace_file
from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.acoustics.echoes import ECHO_FIELDS, ECHOES
from phonotaxis.envs.acoustics.field import SourceField, scene_sound
from phonotaxis.envs.acoustics.source_directivity import Beam
from phonotaxis.envs.acoustics.tracer import BIN_S, DIRECTIONS, slot_of
from phonotaxis.envs.scenes.geodesic import GeodesicField
from phonotaxis.envs.scenes.scene import Scene

SUFFIX = ".field"
GIB = 2**30
_CHECKSUM_BYTES = 16
_PART_S = 3600.0  # what a process that died left behind is older
_KEPT_SHARE = 0.9  # of the room, after pruning: so that it is done now and then, not at each file
_SMALLEST_EDGE = -2  # FROM_SOURCE and UNREACHED are no edges


class FieldStoreError(ValueError):
    """A folder that can't keep fields; the message says why and what to do."""


class StoredField(NamedTuple):
    """What is kept of a source: its sound and the walks to it."""

    field: SourceField
    walk: GeodesicField


class FieldStore:
    """A folder of fields.

    Args:
        folder: made if need be.
        most_bytes: that its fields may take; those unused for longest go first.

    Raises:
        FieldStoreError: the folder can't be made or written to.
    """

    def __init__(self, folder: Path, most_bytes: int = 8 * GIB) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise FieldStoreError(
                f"{folder}: fields can't be kept there ({error.strerror}); name a folder that can be written to"
            ) from None
        for part in folder.glob("*" + PART):
            _remove_if_old(part)
        self._bytes = sum(size for _, _, size in self._files())
        self._full = False

    def name_of(
        self, scene: Scene, passable: np.ndarray, source_m: tuple[float, float, float], length_s: float, sends: Beam
    ) -> str:
        """Return the name of a source's field: 32 hex digits over all that it depends on.

        Args:
            scene: where.
            passable: bool [rows, columns], where walks may lead.
            source_m: world x, y, z, metres.
            length_s: of the impulse responses.
            sends: what the source sends where.
        """
        digest = hashlib.sha256(_code_digest())
        materials = (scene.absorption_scale, scene.scattering_scale)
        numbers = np.array([scene.cell_m, *scene.origin_m, scene.height_m, *materials, *source_m, length_s])
        grids = (scene.floor_m, scene.ceiling_m, scene.side_material, scene.floor_material, scene.ceiling_material)
        digest.update(f"{scene.content or scene.name}\0{scene.shape}\0".encode())
        for array in (numbers, *grids, passable, *sends):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:32]

    def get(self, name: str, scene: Scene, length_s: float, sends: Beam) -> StoredField | None:
        """Read a field; None where there is none, none that may be read, or none that is whole.

        Args:
            name: of `name_of`.
            scene: where.
            length_s: of the impulse responses.
            sends: what the source sends where; the name stands for it, and it isn't kept.
        """
        path = self.folder / (name + SUFFIX)
        try:
            arrays = _unpacked(path.read_bytes())
        except OSError:  # no such file, or another user's: a trace gives the same bits
            return None
        wanted = _forms(scene, length_s)
        whole = arrays.keys() == wanted.keys() and all(_fits(arrays[key], *wanted[key]) for key in wanted)
        if not whole or not _indices_fit(arrays, scene):
            _remove(path)
            return None
        _touch(path)
        arrays |= {"key": np.uint64(arrays["key"][0]), "beam": sends}
        return StoredField(
            SourceField._make(arrays[key] for key in SourceField._fields),
            GeodesicField._make(arrays[key] for key in GeodesicField._fields),
        )

    def put(self, name: str, stored: StoredField) -> None:
        """Keep a field, for whoever the umask lets read it.

        Where there is no more room on the disk it is not kept, and a warning says so once.
        """
        arrays = {**stored.field._asdict(), **stored.walk._asdict(), "key": np.array([stored.field.key])}
        del arrays["beam"]
        data = _packed(arrays)
        try:
            replace_file(self.folder / (name + SUFFIX), data, mode=None, durable=False)
            self._bytes += len(data)
        except OSError as error:
            if not self._full:
                self._full = True
                warnings.warn(f"{self.folder}: fields are no longer kept ({error.strerror})", stacklevel=2)
        if self._bytes > self.most_bytes:
            self._prune()

    def _files(self) -> list[tuple[float, str, int]]:
        """List the fields by their last use: time, name, bytes."""
        found: list[tuple[float, str, int]] = []
        for path in self.folder.glob("*" + SUFFIX):
            try:
                status = path.stat()
            except OSError:  # another process pruned it
                continue
            found.append((status.st_mtime, path.name, status.st_size))
        return sorted(found)

    def _prune(self) -> None:
        """Remove the fields unused for longest until there is room again."""
        files = self._files()
        self._bytes = sum(size for _, _, size in files)
        for _, name, size in files:
            if self._bytes <= _KEPT_SHARE * self.most_bytes:
                break
            if _remove(self.folder / name):
                self._bytes -= size


def _packed(arrays: dict[str, Any]) -> bytes:
    """Return a checksum and the arrays after it."""
    content = io.BytesIO()
    np.savez(content, **arrays)  # NumPy before 2.1 takes no allow_pickle here; there is nothing to pickle
    return hashlib.blake2b(content.getbuffer(), digest_size=_CHECKSUM_BYTES).digest() + content.getvalue()


def _unpacked(data: bytes) -> dict[str, Any]:
    """Return the arrays of `_packed`; none where the checksum says that something is missing or changed."""
    content = memoryview(data)[_CHECKSUM_BYTES:]
    if hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES).digest() != data[:_CHECKSUM_BYTES]:
        return {}
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _remove_if_old(part: Path) -> None:
    """Remove what a process left half written, unless one is at it."""
    try:
        if time.time() - part.stat().st_mtime > _PART_S:
            part.unlink()
    except OSError:  # gone meanwhile, or another user's
        return


def _remove(path: Path) -> bool:
    """Remove a field; False where it is another user's, who may keep it."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _touch(path: Path) -> None:
    """Note that a field was used, unless another process has just pruned it or it is another user's."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _forms(scene: Scene, length_s: float) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the type and shape of every array of a field."""
    sound, regions = scene_sound(scene)
    count, edges = len(regions.volume_m3), len(sound.edges.at_m)
    bins = int(np.ceil(length_s / BIN_S))
    return {
        "source_m": ("float64", (3,)),
        "energy": ("uint16", (count, bins, BANDS)),
        "directions": ("uint8", (count, slot_of(bins - 1) + 1, DIRECTIONS)),
        "edge_m": ("float32", (edges,)),
        "edge_next": ("int32", (edges,)),
        "echo": ("float32", (count, ECHOES, ECHO_FIELDS)),
        "echoes": ("int32", (count,)),
        "first_m": ("float32", (count,)),
        "key": ("uint64", (1,)),
        "distance_m": ("float32", scene.shape),
        "parent": ("int32", scene.shape),
        "turn_rad": ("float32", scene.shape),
    }


def _fits(array: np.ndarray, dtype: str, shape: tuple[int, ...]) -> bool:
    """Tell whether an array is what kernels take: they check no bounds."""
    return array.dtype == dtype and array.shape == shape and array.flags.c_contiguous and array.flags.writeable


def _indices_fit(arrays: dict[str, np.ndarray], scene: Scene) -> bool:
    """Tell whether every index lies within what it points into."""
    parent, following = arrays["parent"], arrays["edge_next"]
    inside = int(parent.min()) >= -1 and int(parent.max()) < parent.size
    inside = inside and int(arrays["echoes"].min()) >= 0 and int(arrays["echoes"].max()) <= ECHOES
    edges = following.size
    return inside and (edges == 0 or (int(following.min()) >= _SMALLEST_EDGE and int(following.max()) < edges))


@lru_cache(maxsize=1)
def _code_digest() -> bytes:
    """Hash the text of all that makes a field, and what it runs on."""
    here = Path(__file__).resolve().parent
    files = sorted([*(here / "acoustics").rglob("*.py"), *(here / "scenes").rglob("*.py"), here / "hashing.py"])
    versions = (np.__version__, scipy.__version__, numba.__version__)
    digest = hashlib.sha256(repr((*versions, platform.machine(), get_host_cpu_features())).encode())
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.digest()
