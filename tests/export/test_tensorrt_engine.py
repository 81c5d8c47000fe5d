"""The TensorRT engine on a simulated GPU: memory, shapes, plans, deadline and falling back."""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from phonotaxis.configs.contract import Contract
from phonotaxis.export.bundle import Bundle, open_bundle, seal
from phonotaxis.export.engines import DeadlineError, EngineError, open_engine
from phonotaxis.export.engines.check import zero_inputs
from phonotaxis.export.engines.plan_cache import MAGIC, PlanCache

Driver = ctypes.CDLL


def _set(driver: Driver, name: str, value: int) -> None:
    ctypes.c_int.in_dll(driver, name).value = value


def _builds() -> int:
    return int(sys.modules["tensorrt"].builds)


def test_same_numbers_as_onnx_runtime(gpu: Driver, bundle: Bundle) -> None:
    rng = np.random.default_rng(0)
    engine, reference = open_engine(bundle, "tensorrt"), open_engine(bundle)
    for batch in (1, 8, 3, 1):
        specs = bundle.contract.inputs()
        inputs = {spec.name: rng.uniform(-0.5, 0.5, (batch, *spec.shape)).astype(spec.dtype) for spec in specs}
        expected = reference.run(inputs)
        for name, value in engine.run(inputs).items():
            np.testing.assert_allclose(value, expected[name], atol=1e-5, err_msg=name)


def test_larger_batches_than_the_plans_are_refused(gpu: Driver, tiny_bundle: Bundle) -> None:
    engine = open_engine(tiny_bundle, "tensorrt")
    with pytest.raises(EngineError, match="a batch of 9, the plan is made for 8"):
        engine.run(zero_inputs(tiny_bundle.contract.inputs(), 9))


def test_a_plan_is_built_once_and_told(gpu: Driver, tiny_bundle: Bundle) -> None:
    told: list[str] = []
    first = open_engine(tiny_bundle, "tensorrt", say=told.append)
    assert told[0].startswith("building the policy for Simulated GPU: once, up to ten minutes")
    assert "TensorRT: Building engine, 1 of 1" in told
    assert _builds() == 1
    told.clear()
    again = open_engine(tiny_bundle, "tensorrt", say=told.append)
    assert (told, _builds()) == ([], 1)
    assert again.fingerprint == first.fingerprint
    assert {"plan_sha256", "device", "compute_capability", "version", "cuda_driver"} <= set(again.fingerprint)
    assert again.fingerprint["compute_capability"] == "8.7"


def test_another_policy_or_version_gets_a_plan_of_its_own(
    gpu: Driver, tiny_bundle: Bundle, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_engine(tiny_bundle, "tensorrt")
    open_engine(bundle, "tensorrt")
    assert _builds() == 2
    monkeypatch.setattr(sys.modules["tensorrt"], "__version__", "11.4.0")
    open_engine(tiny_bundle, "tensorrt")
    assert _builds() == 3


@pytest.mark.parametrize("what", ["multiprocessors", "memory", "board"])
def test_another_device_of_the_same_name_gets_a_plan_of_its_own(
    gpu: Driver, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    open_engine(tiny_bundle, "tensorrt")
    ctypes.c_size_t.in_dll(gpu, "simulated_bytes").value += 100 << 20  # as from boot to boot
    open_engine(tiny_bundle, "tensorrt")
    assert _builds() == 1
    if what == "multiprocessors":
        _set(gpu, "simulated_multiprocessors", 4)
    elif what == "memory":
        ctypes.c_size_t.in_dll(gpu, "simulated_bytes").value = 3 << 30
    else:
        (tmp_path / "model").write_bytes(b"NVIDIA Jetson Orin NX\0")
        monkeypatch.setattr(sys.modules["phonotaxis.export.engines.tensorrt"], "BOARD", tmp_path / "model")
    open_engine(tiny_bundle, "tensorrt")
    assert _builds() == 2


def test_what_tensorrt_warns_of_while_it_loads_a_plan_is_said(
    gpu: Driver, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_engine(tiny_bundle, "tensorrt")
    monkeypatch.setattr(sys.modules["tensorrt"], "warning", "a plan file across different models of devices")
    told: list[str] = []
    open_engine(tiny_bundle, "tensorrt", say=told.append)
    assert told == ["TensorRT warns: a plan file across different models of devices"]


@pytest.mark.parametrize("how", ["cut", "altered", "foreign", "open"])
def test_a_plan_that_cant_be_trusted_is_rebuilt_aloud(
    gpu: Driver, tiny_bundle: Bundle, bundle: Bundle, how: str
) -> None:
    open_engine(tiny_bundle, "tensorrt")
    (path,) = [file for file in PlanCache().folder.iterdir() if b"simulated plan" in file.read_bytes()]
    whole = path.read_bytes()
    if how == "foreign":
        open_engine(bundle, "tensorrt")
        others = [file for file in path.parent.iterdir() if b"simulated plan" in file.read_bytes() and file != path]
        whole = others[0].read_bytes()
    path.write_bytes({"cut": whole[:-20], "altered": whole[:-1] + b"?"}.get(how, whole))
    path.chmod(0o644 if how == "open" else 0o600)
    before, told = _builds(), list[str]()
    open_engine(tiny_bundle, "tensorrt", say=told.append)
    assert _builds() == before + 1
    assert "the kept plan " in told[0]
    told.clear()
    open_engine(tiny_bundle, "tensorrt", say=told.append)
    assert (told, _builds()) == ([], before + 1)


def test_a_plan_that_tensorrt_refuses_is_rebuilt(gpu: Driver, tiny_bundle: Bundle) -> None:
    from phonotaxis.export.engines.cuda import Cuda
    from phonotaxis.export.engines.tensorrt import plan_key
    from phonotaxis.export.engines.tensorrt_build import Shapes

    PlanCache().store(plan_key(tiny_bundle, Cuda(), Shapes()), b"of an older library")
    told: list[str] = []
    open_engine(tiny_bundle, "tensorrt", say=told.append)
    assert "doesn't take the kept plan (the plan has a wrong magic number)" in told[0]


@pytest.mark.parametrize("kept", [b"of another device", b"damaged"])
def test_timings_that_tensorrt_refuses_are_begun_anew(gpu: Driver, tiny_bundle: Bundle, kept: bytes) -> None:
    open_engine(tiny_bundle, "tensorrt")
    (timings,) = PlanCache().folder.glob("*.timing")
    content = timings.read_bytes()
    key = json.loads(content[len(MAGIC) + 4 :].split(b"}")[0] + b"}")
    for plan in PlanCache().folder.glob("*.plan"):
        plan.unlink()
    assert PlanCache().store(key, kept) == timings
    open_engine(tiny_bundle, "tensorrt")
    assert _builds() == 2
    assert timings.read_bytes() == content


def test_a_build_without_timings_keeps_its_plan(
    gpu: Driver, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["tensorrt"]._Config, "get_timing_cache", lambda self: None)
    open_engine(tiny_bundle, "tensorrt")
    assert [path.suffix for path in PlanCache().folder.iterdir()] == [".plan"]


def test_a_cache_that_cant_be_written_costs_a_build_each_time(
    gpu: Driver, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PHONOTAXIS_CACHE", str(tmp_path / "file"))
    told: list[str] = []
    open_engine(tiny_bundle, "tensorrt", say=told.append)
    assert any("can't be kept" in line for line in told)


def test_waits_for_the_gpu_until_the_deadline(gpu: Driver, tiny_bundle: Bundle) -> None:
    inputs = zero_inputs(tiny_bundle.contract.inputs())
    engine = open_engine(tiny_bundle, "tensorrt", deadline_s=0.2)
    _set(gpu, "simulated_pending", 5)
    engine.run(inputs)
    _set(gpu, "simulated_pending", -1)
    with pytest.raises(DeadlineError, match=r"the deadline is 0\.2 s"):
        engine.run(inputs)


def test_does_not_wait_for_ever_for_a_first_step_nor_to_clear_up_after_it(
    gpu: Driver, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phonotaxis.export.engines.WARM_UP_S", 0.1)
    monkeypatch.setattr("phonotaxis.export.engines.cuda.CLOSING_S", 0.1)
    _set(gpu, "simulated_pending", -1)
    with pytest.raises(DeadlineError, match=r"the deadline is 0\.1 s"):
        open_engine(tiny_bundle, "tensorrt")
    said: list[str] = []
    assert open_engine(tiny_bundle, "auto", say=said.append).fingerprint["engine"] == "onnxruntime"
    assert "the deadline is 0.1 s" in said[-1]


def test_what_the_driver_refuses_is_named(gpu: Driver, tiny_bundle: Bundle) -> None:
    engine = open_engine(tiny_bundle, "tensorrt")
    _set(gpu, "simulated_failure", 700)
    with pytest.raises(EngineError, match=r"refused cuStreamQuery: CUDA_ERROR_UNKNOWN \(700\)"):
        engine.run(zero_inputs(tiny_bundle.contract.inputs()))


def test_memory_is_given_back(gpu: Driver, tiny_bundle: Bundle) -> None:
    allocated = ctypes.c_long.in_dll(gpu, "simulated_allocated")
    before = allocated.value
    engine = open_engine(tiny_bundle, "tensorrt")
    assert allocated.value > before
    engine.close()  # type: ignore[attr-defined]
    assert allocated.value == before
    _set(gpu, "simulated_pending", -1)
    engine.close()  # type: ignore[attr-defined]  # there is nothing left to wait for, nor to leave to the GPU
    assert sys.modules["phonotaxis.export.engines.tensorrt"]._left_behind == []


@pytest.mark.parametrize(
    ("operator", "why"), [("NoSuchOperator", "can't read"), ("UnbuildableOperator", "can't build")]
)
def test_a_policy_that_it_refuses(
    gpu: Driver, contract: Contract, model: onnx.ModelProto, operator: str, why: str
) -> None:
    model.graph.node[0].name = operator  # what the simulation looks for
    bundle = open_bundle(seal(model.SerializeToString(), contract, {}))
    with pytest.raises(EngineError, match=f"TensorRT {why} this policy"):
        open_engine(bundle, "tensorrt")


def test_falls_back_aloud(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.delitem(sys.modules, "phonotaxis.export.engines.tensorrt", raising=False)
    monkeypatch.delitem(sys.modules, "phonotaxis.export.engines.tensorrt_build", raising=False)
    told: list[str] = []
    assert open_engine(tiny_bundle, "auto", say=told.append).fingerprint["engine"] == "onnxruntime"
    assert told[0].startswith("ONNX Runtime on the CPU, not TensorRT: engine 'tensorrt' is not installed")
    with pytest.raises(EngineError, match="not installed .*JetPack"):
        open_engine(tiny_bundle, "tensorrt")


def test_falls_back_without_a_gpu(gpu: Driver, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_engine(tiny_bundle, "auto").fingerprint["engine"] == "tensorrt"
    monkeypatch.setattr("phonotaxis.export.engines.cuda.LIBRARY", "libcuda-absent.so.1")
    told: list[str] = []
    assert open_engine(tiny_bundle, "auto", say=told.append).fingerprint["engine"] == "onnxruntime"
    assert "no NVIDIA driver here" in told[0]


@pytest.mark.parametrize("kind", ["Runtime", "Builder"])
def test_falls_back_where_cuda_cant_be_initialised(
    gpu: Driver, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def nothing(_: object) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(sys.modules["tensorrt"], kind, nothing)
    allocated = ctypes.c_long.in_dll(gpu, "simulated_allocated")
    before, told = allocated.value, list[str]()
    assert open_engine(tiny_bundle, "auto", say=told.append).fingerprint["engine"] == "onnxruntime"
    assert "not TensorRT: TensorRT can't begin here (pybind11::init(): factory function returned nullptr)" in told[-1]
    assert allocated.value == before  # the GPU's memory and stream are given back


def test_falls_back_where_another_package_has_the_name(
    gpu: Driver, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    told: list[str] = []
    assert open_engine(tiny_bundle, "auto", say=told.append).fingerprint["engine"] == "onnxruntime"
    assert "engine 'tensorrt' found another package of its name (module 'tensorrt' has no attribute" in told[0]


def test_a_package_of_that_name_that_isnt_nvidias(
    gpu: Driver, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(sys.modules["tensorrt"], "Builder")
    with pytest.raises(EngineError, match="not NVIDIA's"):
        open_engine(tiny_bundle, "tensorrt")
