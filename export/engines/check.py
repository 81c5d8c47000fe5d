"""What goes into an engine and what comes out, held against the contract."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs.contract import TensorSpec
from phonotaxis.export.engines import EngineError


def check_tensors(
    tensors: dict[str, np.ndarray], specs: tuple[TensorSpec, ...], kind: str, batch: int | None = None
) -> int:
    """Check names, dtypes, shapes, finiteness, and that an index is one.

    Args:
        tensors: arrays [batch, *shape] by name.
        specs: what is expected.
        kind: "input" or "output", for errors.
        batch: expected batch size; None takes the first tensor's.

    Returns:
        The batch size.

    Raises:
        EngineError: a tensor is absent, unknown, of another dtype or shape, not finite, or an index out of range.
    """
    names = [spec.name for spec in specs]
    unknown = set(tensors) - set(names)
    if unknown:
        raise EngineError(f"unknown {kind}s {sorted(unknown)}; the policy has {names}")
    for spec in specs:
        if spec.name not in tensors:
            raise EngineError(f"{kind} '{spec.name}' is absent; the policy has {names}")
        array = tensors[spec.name]
        if not isinstance(array, np.ndarray) or array.dtype != spec.dtype:
            came = getattr(array, "dtype", type(array).__name__)
            raise EngineError(f"{kind} '{spec.name}': expected {spec.dtype}, got {came}")
        if batch is None and array.ndim:
            batch = array.shape[0]
        if not batch or array.shape != (batch, *spec.shape):
            expected = ["batch" if batch is None else batch, *spec.shape]
            raise EngineError(f"{kind} '{spec.name}': expected shape {expected}, got {list(array.shape)}")
        if spec.dtype == "float32" and not np.isfinite(array).all():
            raise EngineError(f"{kind} '{spec.name}' holds values that are not finite; expected finite ones")
        if spec.dtype == "int64" and not ((spec.low <= array) & (array <= spec.high)).all():
            raise EngineError(f"{kind} '{spec.name}' is {array.tolist()}; expected {spec.low:g} to {spec.high:g}")
    return int(batch or 0)


def zero_inputs(specs: tuple[TensorSpec, ...], batch: int = 1) -> dict[str, np.ndarray]:
    """Return a zero array [batch, *shape] for each spec."""
    return {spec.name: np.zeros((batch, *spec.shape), dtype=spec.dtype) for spec in specs}
