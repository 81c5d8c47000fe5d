"""Memory that an engine reads from and writes to: made once for a batch size, so that a step allocates little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from phonotaxis.configs.contract import TensorSpec

Allocate = Callable[[tuple[int, ...], np.dtype], np.ndarray]
KEPT_SIZES = 4  # batch sizes whose buffers are kept; a robot has one, an evaluation two
_ALIGNMENT = 64  # bytes: a cache line, and the widest vectors


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return zeros that begin at a cache line."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.zeros(size + _ALIGNMENT, dtype=np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    return memory[first : first + size].view(dtype).reshape(shape)


class Buffers:
    """The arrays of one batch size.

    Attributes:
        inputs: by name, [batch, *shape].
        outputs: likewise.
    """

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        batch: int,
        allocate: Allocate = aligned,
    ) -> None:
        """Allocate by `allocate(shape, dtype)`."""
        self.inputs = {spec.name: allocate((batch, *spec.shape), np.dtype(spec.dtype)) for spec in inputs}
        self.outputs = {spec.name: allocate((batch, *spec.shape), np.dtype(spec.dtype)) for spec in outputs}

    def fill(self, values: dict[str, np.ndarray]) -> None:
        """Copy the inputs in; names, shapes and dtypes were checked before."""
        for name, buffer in self.inputs.items():
            buffer[...] = values[name]

    def taken(self) -> dict[str, np.ndarray]:
        """Copy the outputs out: the next step overwrites the buffers, not what was returned."""
        return {name: buffer.copy() for name, buffer in self.outputs.items()}
