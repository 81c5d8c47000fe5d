"""TensorRT on an NVIDIA GPU: the plan is built on the device itself, kept, and rebuilt when anything changed."""

from __future__ import annotations

import hashlib
import platform
import time
from pathlib import Path

import numpy as np
import tensorrt as trt

from phonotaxis.export.bundle import Bundle
from phonotaxis.export.engines import WARM_UP_S, EngineError, Say
from phonotaxis.export.engines.buffers import Buffers
from phonotaxis.export.engines.check import check_tensors, zero_inputs
from phonotaxis.export.engines.cuda import Cuda
from phonotaxis.export.engines.plan_cache import TIMING, PlanCache
from phonotaxis.export.engines.tensorrt_build import Log, Shapes, build_plan, made

_DTYPES = {"FLOAT": "float32", "INT32": "int32", "INT64": "int64", "UINT8": "uint8", "BOOL": "bool"}
_FLAGS = "strongly typed, no TF32"
BOARD = Path("/proc/device-tree/model")


_left_behind: list[object] = []  # what engines held whose GPU hangs: to destroy any of it would be to wait for it


class TensorRtEngine:
    """A bundle in TensorRT; see `phonotaxis.export.engines.Engine`.

    Host memory is pinned, device memory made once, each for the largest batch; a step copies in, runs and copies out
    on one stream. Use it from one thread at a time.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 1,
        deadline_s: float | None = None,
        say: Say = lambda text: None,
        cache: PlanCache | None = None,
        shapes: Shapes = Shapes(),  # noqa: B008 - frozen
    ) -> None:
        """Load the plan, building it first where none fits, and warm up.

        Args:
            bundle: what `read_bundle` returned.
            threads: not used.
            deadline_s: see `open_engine`.
            say: gets lines of progress while a plan is built.
            cache: of plans; the user's own by default.
            shapes: batch sizes.

        Raises:
            EngineError: no GPU, or TensorRT refuses the policy.
        """
        if not hasattr(trt, "Builder"):
            raise EngineError("the package called tensorrt is not NVIDIA's; it comes with JetPack")
        self.contract = bundle.contract
        self._inputs, self._outputs = bundle.contract.inputs(), bundle.contract.outputs()
        self._shapes, self._say, self._cache = shapes, say, cache or PlanCache()
        self._buffers: dict[int, Buffers] = {}
        self._deadline_s: float | None = WARM_UP_S
        self._log = Log()
        self._cuda = Cuda()
        try:
            self._begin(bundle)
        except BaseException:
            self.close()
            raise
        self._deadline_s = deadline_s

    def _begin(self, bundle: Bundle) -> None:
        """Load the plan, and run it twice: the first run loads kernels lazily."""
        self._runtime = made(trt.Runtime, self._log)
        self._engine, plan = self._loaded(bundle, plan_key(bundle, self._cuda, self._shapes))
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"TensorRT can't run its plan{self._log.last()}")
        self._check_ports(bundle)
        self._memory = self._device_memory()
        self.fingerprint: dict[str, str | int] = {
            "engine": "tensorrt",
            "version": str(trt.__version__),
            "device": self._cuda.name,
            "compute_capability": self._cuda.compute_capability,
            "cuda_driver": self._cuda.driver,
            "machine": platform.machine(),
            "plan_sha256": hashlib.sha256(plan).hexdigest(),
        }
        for _ in range(2):
            self.run(zero_inputs(self._inputs))

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one step; see `Engine.run`."""
        batch = check_tensors(inputs, self._inputs, "input")
        if batch > self._shapes.largest:
            raise EngineError(f"a batch of {batch}, the plan is made for {self._shapes.largest} at most")
        self._cuda.use()
        buffers = self._of_batch(batch)
        buffers.fill(inputs)
        for name, array in buffers.inputs.items():
            self._context.set_input_shape(name, array.shape)
            self._cuda.to_device(self._memory[name], array)
        if not self._context.execute_async_v3(self._cuda.stream):
            raise EngineError(f"TensorRT failed in a step{self._log.last()}")
        for name, array in buffers.outputs.items():
            self._cuda.to_host(array, self._memory[name])
        self._cuda.wait(self._deadline_s)
        outputs = buffers.taken()
        check_tensors(outputs, self._outputs, "output", batch)
        return outputs

    def close(self) -> None:
        """Give the device's memory back; what a GPU that hangs works on is left to it, or this would hang too."""
        if not self._cuda.is_done():
            _left_behind.append(vars(self).copy())
            return
        for name in ("_context", "_engine", "_runtime"):  # in this order, as far as there are any
            vars(self).pop(name, None)
        self._buffers.clear()
        self._cuda.close()

    def _of_batch(self, batch: int) -> Buffers:
        if batch not in self._buffers:
            self._buffers[batch] = Buffers(self._inputs, self._outputs, batch, self._cuda.pinned)
        return self._buffers[batch]

    def _loaded(self, bundle: Bundle, key: dict[str, str | int]) -> tuple[trt.ICudaEngine, bytes]:
        plan, reason = self._cache.load(key)
        if plan is not None:
            engine = self._deserialised(plan)
            if engine is not None:
                return engine, plan
            reason = f"TensorRT doesn't take the kept plan{self._log.last()}"
        why = f" ({reason})" if reason else ""
        self._say(f"building the policy for {self._cuda.name}{why}: once, up to ten minutes on a small device")
        plan = self._built(bundle, key)
        engine = self._deserialised(plan)
        if engine is None:
            raise EngineError(f"TensorRT doesn't take the plan it has just built{self._log.last()}")
        return engine, plan

    def _deserialised(self, plan: bytes) -> trt.ICudaEngine | None:
        """Load a plan; what TensorRT warns of, as of a plan made on another device, is said."""
        self._log.taken_warnings()
        engine: trt.ICudaEngine | None = self._runtime.deserialize_cuda_engine(plan)
        for warning in self._log.taken_warnings():
            self._say(f"TensorRT warns: {warning}")
        return engine

    def _built(self, bundle: Bundle, key: dict[str, str | int]) -> bytes:
        timing = {TIMING: 1} | {name: value for name, value in key.items() if name != "bundle_sha256"}
        begun_s = time.monotonic()
        built = build_plan(bundle.data, self._inputs, self._shapes, self._cache.load(timing)[0] or b"", self._say)
        self._say(f"built in {time.monotonic() - begun_s:.0f} s, {len(built.plan) / 1e6:.1f} MB")
        try:
            if built.timing_cache:
                self._cache.store(timing, built.timing_cache)
            path = self._cache.store(key, built.plan)
            self._say(f"kept as {path}")
        except OSError as error:
            self._say(f"the plan can't be kept ({error.strerror or error}), so the next start builds it again")
        return built.plan

    def _check_ports(self, bundle: Bundle) -> None:
        found = {self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)}
        expected = {spec.name for spec in (*self._inputs, *self._outputs)}
        if found != expected:
            raise EngineError(f"{bundle.path}: the plan has the tensors {sorted(found)}, expected {sorted(expected)}")
        for spec in (*self._inputs, *self._outputs):
            dtype = _DTYPES.get(self._engine.get_tensor_dtype(spec.name).name, "another type")
            if dtype != spec.dtype:
                raise EngineError(f"{bundle.path}: the plan's '{spec.name}' is {dtype}, expected {spec.dtype}")

    def _device_memory(self) -> dict[str, int]:
        memory = {}
        for spec in (*self._inputs, *self._outputs):
            elements = self._shapes.largest * int(np.prod(spec.shape, dtype=np.int64))
            memory[spec.name] = self._cuda.device_memory(elements * np.dtype(spec.dtype).itemsize)
            self._context.set_tensor_address(spec.name, memory[spec.name])
        return memory


def _board() -> str:
    """Return what the board calls itself, since GPUs of two Jetsons may have one name; empty where it says nothing."""
    try:
        return BOARD.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""


def plan_key(bundle: Bundle, cuda: Cuda, shapes: Shapes) -> dict[str, str | int]:
    """Return all that a plan is bound to: policy with its precision, library, device, driver, board, options."""
    return {
        "bundle_sha256": bundle.sha256,
        "tensorrt": str(trt.__version__),
        "device": cuda.name,
        "compute_capability": cuda.compute_capability,
        "multiprocessors": cuda.multiprocessors,
        "memory_gib": cuda.memory_gib,
        "cuda_driver": cuda.driver,
        "machine": platform.machine(),
        "board": _board(),
        "precision": str(bundle.provenance.get("precision", "fp32")),
        "profiles": shapes.text(),
        "flags": _FLAGS,
    }
