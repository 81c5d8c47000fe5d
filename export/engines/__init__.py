"""Inference engines behind one interface: a checked bundle in, named arrays in and out."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

import numpy as np

from phonotaxis.configs.base import did_you_mean
from phonotaxis.export.bundle import Bundle

ENGINES = {
    "onnxruntime": "phonotaxis.export.engines.onnx_runtime:OnnxRuntimeEngine",
    "tensorrt": "phonotaxis.export.engines.tensorrt:TensorRtEngine",
}
AUTO = "auto"  # TensorRT where there is one, else ONNX Runtime, said aloud
_INSTALL = {
    "onnxruntime": "pip install 'phonotaxis[robot]'",
    "tensorrt": "it comes with JetPack; elsewhere pip install tensorrt",
}
WARM_UP_S = 60.0  # that a first step may take, which plans memory and loads kernels: seconds on the slowest robot
Say = Callable[[str], None]


class EngineError(RuntimeError):
    """The engine is missing, refuses the model, or was given or returned what the contract doesn't allow."""


class DeadlineError(EngineError):
    """A step wasn't over in time; its outputs are lost."""


class Engine(Protocol):
    """A loaded policy. The same bundle, inputs and fingerprint give the same bits.

    Attributes:
        fingerprint: what the bits depend on: engine, version, provider, threads, optimisation, CPU features; with
            TensorRT the device and the plan's hash.
    """

    fingerprint: dict[str, str | int]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one step.

        Args:
            inputs: one array per `contract.inputs()`, each [batch, *shape] of the dtype named there.

        Returns:
            One array per `contract.outputs()`, each [batch, *shape], not shared with later calls.

        Raises:
            DeadlineError: it took longer than the engine was opened for.
            EngineError: an input or output is absent, of another shape or dtype, or not finite.
        """
        ...


def _silent(text: str) -> None:
    """Say nothing."""


def open_engine(
    bundle: Bundle,
    prefer: str = "onnxruntime",
    threads: int = 1,
    deadline_s: float | None = None,
    say: Say = _silent,
) -> Engine:
    """Load a bundle into an engine and warm it up.

    Args:
        bundle: what `read_bundle` returned.
        prefer: name of the engine, of `ENGINES`; or `auto`, which takes TensorRT where it is installed with a GPU and
            falls back to ONNX Runtime, saying why.
        threads: of the engine on the CPU; results differ in the last bits between one and several.
        deadline_s: a step that takes longer raises `DeadlineError`; None waits for ever. Each of the warm-up's two may
            take `WARM_UP_S`.
        say: gets a line of text where an engine is built or passed over.

    Raises:
        EngineError: unknown or not installed engine, or a model that it can't load or run.
        DeadlineError: a step of the warm-up took too long.
    """
    if prefer not in ENGINES and prefer != AUTO:
        known = ", ".join([AUTO, *sorted(ENGINES)])
        raise EngineError(f"unknown engine '{prefer}'{did_you_mean(prefer, [AUTO, *ENGINES])} (known: {known})")
    if not 1 <= threads <= 256:
        raise EngineError(f"threads must lie in 1..256, got {threads}")
    if deadline_s is not None and not 0.0 < deadline_s <= 3600.0:
        raise EngineError(f"deadline_s must lie in 0..3600, got {deadline_s}")
    if prefer != AUTO:
        return _open(prefer, bundle, threads, deadline_s, say)
    try:
        return _open("tensorrt", bundle, threads, deadline_s, say)
    except EngineError as error:
        say(f"ONNX Runtime on the CPU, not TensorRT: {error}")
    return _open("onnxruntime", bundle, threads, deadline_s, say)


def _how(name: str) -> str:
    return _INSTALL.get(name, "pip install 'phonotaxis[robot]'")


def _open(name: str, bundle: Bundle, threads: int, deadline_s: float | None, say: Say) -> Engine:
    module, _, class_name = ENGINES[name].partition(":")
    try:
        engine_class = getattr(import_module(module), class_name)
    except (ImportError, OSError) as error:  # OSError: of a library that the package loads
        raise EngineError(f"engine '{name}' is not installed ({error}): {_how(name)}") from None
    except AttributeError as error:
        raise EngineError(f"engine '{name}' found another package of its name ({error}): {_how(name)}") from None
    try:
        engine: Engine = engine_class(bundle, threads, deadline_s, say)
    except MemoryError:
        raise EngineError(f"{bundle.path}: engine '{name}' finds too little memory for it") from None
    return engine
