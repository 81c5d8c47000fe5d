"""Stands in for TensorRT where there is no GPU: a plan is the model itself, which ONNX Runtime runs.

It holds our handling of plans, memory, shapes and deadlines to the contract. It says nothing about TensorRT: the
parser and builder are tried for real in `test_tensorrt_build.py`, names and signatures in `test_tensorrt_names.py`.
"""

from __future__ import annotations

import ctypes
import enum
from typing import Any

import numpy as np
import onnxruntime

__version__ = "10.3.0-simulated"
_MARK = b"simulated plan"
DataType = enum.Enum("DataType", ["INT64", "FLOAT", "UINT8"])
_DTYPES = {"tensor(float)": DataType.FLOAT, "tensor(int64)": DataType.INT64, "tensor(uint8)": DataType.UINT8}
_NUMPY = {DataType.FLOAT: np.float32, DataType.INT64: np.int64, DataType.UINT8: np.uint8}
NetworkDefinitionCreationFlag = enum.IntEnum(
    "NetworkDefinitionCreationFlag", {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}
)
MemoryPoolType = enum.Enum("MemoryPoolType", ["WORKSPACE"])
BuilderFlag = enum.Enum("BuilderFlag", ["TF32"])
Dims = list
builds = 0  # plans built so far
warning = ""  # said while a plan is deserialised
TIMINGS = b"timings"  # what it takes back of an earlier build, beside nothing


class ILogger:
    Severity = enum.Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO"])

    def log(self, severity: Any, msg: str) -> None: ...


class IProgressMonitor: ...


class _Timing:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content or TIMINGS


class _Config:
    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}
        self.timing: _Timing | None = None
        self.profiles: list[_Profile] = []

    def set_memory_pool_limit(self, pool: Any, size: int) -> None: ...

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def create_timing_cache(self, content: bytes) -> _Timing | None:
        return None if content == b"damaged" else _Timing(content)

    def set_timing_cache(self, cache: _Timing, ignore_mismatch: bool) -> bool:
        if cache.content not in (b"", TIMINGS):
            return False  # of another device, and nothing is set
        self.timing = cache
        return True

    def get_timing_cache(self) -> _Timing | None:
        return self.timing

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[list[int], ...]] = {}

    def set_shape(self, name: str, least: list[int], best: list[int], most: list[int]) -> None:
        self.shapes[name] = least, best, most


class _Network:
    model = b""


class Builder:
    def __init__(self, log: ILogger) -> None:
        self.log = log

    def create_network(self, flags: int) -> _Network:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return _Network()

    def create_builder_config(self) -> _Config:
        return _Config()

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
        global builds
        builds += 1
        assert not config.flags
        assert len(config.profiles) == 1
        config.progress_monitor.phase_start("Building engine", None, 1)  # type: ignore[attr-defined]
        assert config.progress_monitor.step_complete("Building engine", 0)  # type: ignore[attr-defined]
        config.progress_monitor.phase_finish("Building engine")  # type: ignore[attr-defined]
        if b"UnbuildableOperator" in network.model:
            self.log.log(ILogger.Severity.ERROR, "no kernel for it")
            return None
        return _MARK + network.model


class _ParserError:
    def node(self) -> int:
        return 0

    def desc(self) -> str:
        return "No importer registered for op: NoSuchOperator"


class OnnxParser:
    def __init__(self, network: _Network, log: ILogger) -> None:
        self.network, self.num_errors = network, 0

    def parse(self, model: bytes) -> bool:
        self.network.model = model
        self.num_errors = int(b"NoSuchOperator" in model)
        return not self.num_errors

    def get_error(self, index: int) -> _ParserError:
        return _ParserError()


class Runtime:
    def __init__(self, log: ILogger) -> None:
        self.log = log

    def deserialize_cuda_engine(self, plan: bytes) -> ICudaEngine | None:
        if warning:
            self.log.log(ILogger.Severity.WARNING, warning)
        if not plan.startswith(_MARK):
            self.log.log(ILogger.Severity.ERROR, "the plan has a wrong magic number")
            return None
        return ICudaEngine(plan[len(_MARK) :])


class ICudaEngine:
    def __init__(self, model: bytes) -> None:
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.inputs = {port.name: _DTYPES[port.type] for port in self.session.get_inputs()}
        self.outputs = {port.name: _DTYPES[port.type] for port in self.session.get_outputs()}
        self.num_io_tensors = len(self.inputs) + len(self.outputs)

    def get_tensor_name(self, index: int) -> str:
        return [*self.inputs, *self.outputs][index]

    def get_tensor_dtype(self, name: str) -> Any:
        return (self.inputs | self.outputs)[name]

    def create_execution_context(self) -> _Context:
        return _Context(self)


class _Context:
    def __init__(self, engine: ICudaEngine) -> None:
        self.engine, self.shapes, self.addresses = engine, dict[str, Any](), dict[str, int]()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 2
        inputs = {}
        for name, kind in self.engine.inputs.items():
            array = np.empty(self.shapes[name], _NUMPY[kind])
            ctypes.memmove(array.ctypes.data, self.addresses[name], array.nbytes)
            inputs[name] = array
        for name, value in zip(self.engine.outputs, self.engine.session.run(None, inputs)):
            ctypes.memmove(self.addresses[name], np.ascontiguousarray(value).ctypes.data, value.nbytes)
        return True
