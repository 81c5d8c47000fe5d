"""Inference engines behind one interface: a checked bundle in, named arrays in and out."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np

from phonotaxis.configs.base import did_you_mean
from phonotaxis.export.bundle import Bundle

ENGINES = {"onnxruntime": "phonotaxis.export.engines.onnx_runtime:OnnxRuntimeEngine"}


class EngineError(RuntimeError):
    """The engine is missing, refuses the model, or was given or returned what the contract doesn't allow."""


class Engine(Protocol):
    """A loaded policy. The same bundle, inputs and fingerprint give the same bits.

    Attributes:
        fingerprint: what the bits depend on: engine, version, provider, threads, optimisation, CPU features.
    """

    fingerprint: dict[str, str | int]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one step.

        Args:
            inputs: one array per `contract.inputs()`, each [batch, *shape] of the dtype named there.

        Returns:
            One array per `contract.outputs()`, each [batch, *shape], not shared with later calls.

        Raises:
            EngineError: an input or output is absent, of another shape or dtype, or not finite.
        """
        ...


def open_engine(bundle: Bundle, prefer: str = "onnxruntime", threads: int = 1) -> Engine:
    """Load a bundle into an engine and warm it up.

    Args:
        bundle: what `read_bundle` returned.
        prefer: name of the engine; `ENGINES` lists them.
        threads: of the engine; results differ in the last bits between one and several.

    Raises:
        EngineError: unknown or not installed engine, or a model that it can't load or run.
    """
    if prefer not in ENGINES:
        known = ", ".join(sorted(ENGINES))
        raise EngineError(f"unknown engine '{prefer}'{did_you_mean(prefer, ENGINES)} (known: {known})")
    if not 1 <= threads <= 256:
        raise EngineError(f"threads must lie in 1..256, got {threads}")
    module, _, name = ENGINES[prefer].partition(":")
    try:
        engine_class = getattr(import_module(module), name)
    except ImportError as error:
        raise EngineError(f"engine '{prefer}' is not installed ({error}): pip install 'phonotaxis[robot]'") from None
    engine: Engine = engine_class(bundle, threads)
    return engine
