"""Builds TensorRT's plan of a bundle: one code path for TensorRT 10 and 11.

Precision stands in the ONNX graph and the network is strongly typed, which 11 always is. Flags and enumerations go by
name: their numbers differ between versions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import tensorrt as trt

from phonotaxis.configs.contract import TensorSpec
from phonotaxis.export.engines import EngineError, Say

WORKSPACE_BYTES = 256 << 20
_TOLD_EVERY_S = 2.0  # progress is told so often at most
Made = TypeVar("Made")


@dataclass(frozen=True)
class Shapes:
    """Batch sizes that the plan is made for: 1 is what it is tuned to, as on the robot."""

    largest: int = 8  # the blocks of an evaluation

    def text(self) -> str:
        """Return what stands in the cache's key."""
        return f"batch 1..{self.largest}, tuned to 1"


@dataclass(frozen=True)
class Built:
    """What came out.

    Attributes:
        plan: serialised engine.
        timing_cache: what was learnt on the way about the device's kernels; makes the next build fast. May be empty.
    """

    plan: bytes = field(repr=False)
    timing_cache: bytes = field(repr=False)


class Log(trt.ILogger):
    """Keeps TensorRT's errors and warnings, so that they reach the user in our own words."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def log(self, severity: Any, msg: str) -> None:
        """Take a message of TensorRT."""
        text = " ".join(msg.split())[:300]
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.errors = [*self.errors[-9:], text]
        elif severity == trt.ILogger.Severity.WARNING:
            self.warnings = [*self.warnings[-9:], text]

    def taken_warnings(self) -> list[str]:
        """Return the warnings since the last call, ten at most."""
        taken, self.warnings = self.warnings, []
        return taken

    def last(self) -> str:
        """Return the newest error in brackets, or nothing."""
        return f" ({self.errors[-1]})" if self.errors else ""


class Progress(trt.IProgressMonitor):
    """Says how far a build is: a first one can take ten minutes."""

    def __init__(self, say: Say) -> None:
        trt.IProgressMonitor.__init__(self)
        self._say, self._told_s = say, -_TOLD_EVERY_S
        self._steps: dict[str, int] = {}

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """Take the beginning of a phase."""
        self._steps[phase_name] = num_steps

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Take a step's end; True lets the build go on."""
        if time.monotonic() - self._told_s >= _TOLD_EVERY_S:
            self._told_s = time.monotonic()
            self._say(f"TensorRT: {phase_name}, {step + 1} of {self._steps.get(phase_name, 0)}")
        return True

    def phase_finish(self, phase_name: str) -> None:
        """Take the end of a phase."""
        self._steps.pop(phase_name, None)


def made(kind: Callable[[trt.ILogger], Made], log: Log) -> Made:
    """Make TensorRT's builder or runtime.

    Raises:
        EngineError: it can't, as where CUDA can't be initialised.
    """
    try:
        return kind(log)
    except TypeError as error:  # what its binding makes of a null pointer
        reason = log.last() or f" ({' '.join(str(error).split())[:200]})"
        raise EngineError(f"TensorRT can't begin here{reason}") from None


def build_plan(
    model: bytes,
    inputs: tuple[TensorSpec, ...],
    shapes: Shapes,
    timing_cache: bytes = b"",
    say: Say = lambda text: None,
    adjust: Callable[[Any], None] = lambda config: None,
) -> Built:
    """Parse the model and build it for the device at hand.

    Args:
        model: the bundle's bytes.
        inputs: of the graph, without batch axis.
        shapes: batch sizes.
        timing_cache: of an earlier build on the same device and version, or empty.
        say: gets lines of progress.
        adjust: gets the builder's configuration last, e.g. to name another device (TensorRT-RTX can build for those).

    Raises:
        EngineError: TensorRT can't parse or build it; says which operator or why.
    """
    log = Log()
    builder = made(trt.Builder, log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parse(model, network, log)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 stays fp32: TF32 has 10 bits of mantissa
    config.progress_monitor = Progress(say)
    _begin_timings(config, timing_cache)
    profile = builder.create_optimization_profile()
    for spec in inputs:
        one, largest = (trt.Dims([batch, *spec.shape]) for batch in (1, shapes.largest))
        profile.set_shape(spec.name, one, one, largest)
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"TensorRT refuses the shapes of the policy's inputs{log.last()}")
    adjust(config)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"TensorRT can't build this policy{log.last()}")
    timings = config.get_timing_cache()
    return Built(_bytes(plan), _bytes(None if timings is None else timings.serialize()))


def _begin_timings(config: trt.IBuilderConfig, kept: bytes) -> None:
    """Give the builder the timings that were kept, or none where they are damaged or another device's."""
    cache = config.create_timing_cache(kept)
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _bytes(memory: Any) -> bytes:
    """Copy TensorRT's memory, which Python sees as a buffer though its stubs don't say so."""
    return b"" if memory is None else bytes(memory)


def parse(model: bytes, network: Any, log: Log) -> None:
    """Fill a network from a model.

    Raises:
        EngineError: the parser refuses it; names the node and the reason.
    """
    parser = trt.OnnxParser(network, log)
    if parser.parse(model):
        return
    reasons = [parser.get_error(index) for index in range(min(parser.num_errors, 3))]
    text = "; ".join(f"node {error.node()}: {' '.join(error.desc().split())[:200]}" for error in reasons)
    raise EngineError(f"TensorRT can't read this policy: {text or 'no reason given'}")


def unsupported(operators: set[str]) -> list[str]:
    """List those of the operators that the parser doesn't know."""
    log = Log()
    network = made(trt.Builder, log).create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    return sorted(name for name in operators if not parser.supports_operator(name))
