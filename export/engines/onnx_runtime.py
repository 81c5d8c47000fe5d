"""ONNX Runtime on the CPU: runs everywhere, one thread, the same bits every time."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from phonotaxis.export.bundle import Bundle
from phonotaxis.export.engines import WARM_UP_S, EngineError, Say
from phonotaxis.export.engines.buffers import KEPT_SIZES, Buffers
from phonotaxis.export.engines.check import check_tensors, zero_inputs
from phonotaxis.export.engines.cpu import cpu_fingerprint
from phonotaxis.export.engines.deadline import Deadline

_PROVIDER = "CPUExecutionProvider"
_QUIET = 4  # fatal only: the runtime's own errors reach us as exceptions
# The binding's exceptions share no base class but Exception; bound runs raise RuntimeError itself, and messages that
# quote a name from the file may not be UTF-8.
_ORT_ERRORS = (
    MemoryError,
    RuntimeError,
    UnicodeDecodeError,
    *(
        getattr(ort_errors, name)
        for name in (
            "EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NotImplemented",
            "RuntimeException",
        )
    ),
)  # fmt: skip
MEMORY_BYTES = 1 << 30  # for all policies of a process; one of ours takes some ten megabytes
# Of one tensor that is made of constants while a session opens, outside of that memory; our largest weight has 2 MB.
# ONNX Runtime before 1.27 doesn't know this bound, and passes over the entry.
FOLDED_BYTES = 16 << 20
_bounded: list[bool] = []  # whether the process's memory for tensors has its bound


class OnnxRuntimeEngine:
    """A bundle in ONNX Runtime; see `phonotaxis.export.engines.Engine`.

    Inputs and outputs are bound to memory that is made once for a batch size. A step over its deadline is ended at
    the next operator.
    """

    def __init__(
        self, bundle: Bundle, threads: int = 1, deadline_s: float | None = None, say: Say | None = None
    ) -> None:
        """Load and warm up.

        Args:
            bundle: what `read_bundle` returned.
            threads: threads within an operator.
            deadline_s: see `open_engine`.
            say: not used: nothing takes long here.

        Raises:
            EngineError: the runtime refuses the model, or its first step fails.
        """
        onnxruntime.set_default_logger_severity(_QUIET)
        self.contract = bundle.contract
        self._inputs, self._outputs = bundle.contract.inputs(), bundle.contract.outputs()
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.data, _options(threads), providers=[_PROVIDER], enable_fallback=0
            )
        except _ORT_ERRORS as error:
            raise EngineError(f"{bundle.path}: ONNX Runtime can't load it ({_first_line(error)})") from None
        self.fingerprint: dict[str, str | int] = {
            "engine": "onnxruntime",
            "version": onnxruntime.__version__,
            "provider": _PROVIDER,
            "threads": threads,
            "optimisation": "all",
            **cpu_fingerprint(),
        }
        self._bound: dict[int, tuple[Buffers, onnxruntime.IOBinding]] = {}
        self._run_options = onnxruntime.RunOptions()
        # The default, said: asked for an entry that isn't there, the library throws in every step, at best a waste.
        self._run_options.add_run_config_entry("gpu_graph_id", "0")
        self._deadline = Deadline(WARM_UP_S, self._terminate)
        for _ in range(2):  # the first run plans memory, the second takes the planned path
            self.run(zero_inputs(self._inputs))
        self._deadline = Deadline(deadline_s, self._terminate)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one step; see `Engine.run`."""
        batch = check_tensors(inputs, self._inputs, "input")
        try:
            buffers, binding = self._binding(batch)
            buffers.fill(inputs)
            with self._deadline:
                self._session.run_with_iobinding(binding, self._run_options)
        except EngineError:
            raise
        except _ORT_ERRORS as error:
            raise EngineError(f"ONNX Runtime failed in a step: {_first_line(error)}") from None
        finally:
            self._run_options.terminate = False
        outputs = buffers.taken()
        check_tensors(outputs, self._outputs, "output", batch)
        return outputs

    def _terminate(self) -> None:
        self._run_options.terminate = True

    def _binding(self, batch: int) -> tuple[Buffers, onnxruntime.IOBinding]:
        if batch not in self._bound:
            if len(self._bound) == KEPT_SIZES:
                self._bound.pop(next(iter(self._bound)))
            buffers, binding = Buffers(self._inputs, self._outputs, batch), self._session.io_binding()
            for name, array in buffers.inputs.items():
                binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            for name, array in buffers.outputs.items():
                binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            self._bound[batch] = buffers, binding
        return self._bound[batch]


def _bound_memory() -> None:
    """Give all sessions one arena of bounded size: a graph that asks for more fails in words, not the machine."""
    if _bounded:
        return
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    arena = onnxruntime.OrtArenaCfg({"max_mem": MEMORY_BYTES, "arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(memory, arena)
    _bounded.append(True)


def _options(threads: int) -> onnxruntime.SessionOptions:
    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.use_deterministic_compute = True
    options.log_severity_level = _QUIET
    options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", str(FOLDED_BYTES))
    # Never take the bytes for the runtime's own binary format, which was not scanned.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Eight-bit weights are unpacked once, at the start: for a batch of one the runtime's own eight-bit kernels don't
    # fit most of our products, and unpacking in each step takes longer than the whole of it.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
