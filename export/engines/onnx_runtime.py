"""ONNX Runtime on the CPU: runs everywhere, one thread, the same bits every time."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from phonotaxis.export.bundle import Bundle
from phonotaxis.export.engines import EngineError
from phonotaxis.export.engines.check import check_tensors, zero_inputs
from phonotaxis.export.engines.cpu import cpu_fingerprint

_PROVIDER = "CPUExecutionProvider"
_QUIET = 4  # fatal only: the runtime's own errors reach us as exceptions
# The binding's exceptions share no base class but Exception.
_ORT_ERRORS = tuple(
    getattr(ort_errors, name)
    for name in (
        "EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NotImplemented",
        "RuntimeException",
    )
)  # fmt: skip


class OnnxRuntimeEngine:
    """A bundle in ONNX Runtime; see `phonotaxis.export.engines.Engine`."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Load and warm up.

        Args:
            bundle: what `read_bundle` returned.
            threads: threads within an operator.

        Raises:
            EngineError: the runtime refuses the model, or its first step fails.
        """
        onnxruntime.set_default_logger_severity(_QUIET)
        self.contract = bundle.contract
        self._inputs, self._outputs = bundle.contract.inputs(), bundle.contract.outputs()
        self._names = [spec.name for spec in self._outputs]
        try:
            self._session = onnxruntime.InferenceSession(bundle.data, _options(threads), providers=[_PROVIDER])
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
        for _ in range(2):  # the first run plans memory, the second takes the planned path
            self.run(zero_inputs(self._inputs))

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one step; see `Engine.run`."""
        batch = check_tensors(inputs, self._inputs, "input")
        try:
            values = self._session.run(self._names, inputs)
        except _ORT_ERRORS as error:
            raise EngineError(f"ONNX Runtime failed in a step: {_first_line(error)}") from None
        outputs = dict(zip(self._names, values))
        check_tensors(outputs, self._outputs, "output", batch)
        return outputs


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.use_deterministic_compute = True
    options.log_severity_level = _QUIET
    # Never take the bytes for the runtime's own binary format, which was not scanned.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
