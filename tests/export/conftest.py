from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import Contract, discrete_actions
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.export.bundle import Bundle, open_bundle, read_bundle, seal, write_bundle
from phonotaxis.export.engines import ENGINES
from phonotaxis.export.onnx import export_policy
from phonotaxis.policies.policy import Policy


def beside(name: str) -> ModuleType:
    """Import a file of this folder afresh: tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look a module up by its name
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def contract() -> Contract:
    return Contract(
        task="test",
        array=presets.load("arrays", "respeaker_usb_v2", MicrophoneArray),
        actions=discrete_actions(0.25, 0.17, 0.25),
        state_shape=(4,),
    )


def tiny_model(contract: Contract) -> onnx.ModelProto:
    """Make a model of the contract's ports that a reader can follow: heads are fields of `motion`."""
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}

    def ports(specs: tuple) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(spec.name, kinds[spec.dtype], ["batch", *spec.shape]) for spec in specs]

    nodes = [
        helper.make_node("Gather", ["motion", "first4"], ["logits"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["action"], axis=1, keepdims=0),
        helper.make_node("Gather", ["motion", "first1"], ["value"], axis=1),
        helper.make_node("Gather", ["motion", "first3"], ["bearing"], axis=1),
        helper.make_node("Gather", ["motion", "first2"], ["distance"], axis=1),
        helper.make_node("Add", ["state_in", "logits"], ["state_out"]),
    ]
    indices = [numpy_helper.from_array(np.arange(n), f"first{n}") for n in (1, 2, 3, 4)]
    graph = helper.make_graph(nodes, "tiny", ports(contract.inputs()), ports(contract.outputs()), indices)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture
def model(contract: Contract) -> onnx.ModelProto:
    return tiny_model(contract)


@pytest.fixture(scope="session")
def tiny_bytes(contract: Contract) -> bytes:
    return seal(tiny_model(contract).SerializeToString(), contract, {"commit": "abc"})


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bytes: bytes) -> Bundle:
    return open_bundle(tiny_bytes)


@pytest.fixture(scope="session")
def policy(contract: Contract) -> Policy:
    torch.manual_seed(3)
    policy = Policy(contract, PolicyConfig(memory_size=48)).eval()
    with torch.no_grad():  # as after training: decisions differ from input to input
        policy.heads.action[-1].weight.mul_(50.0)
        # and the bearing is read from a vector of order one: of a short one, the direction is mostly rounding
        policy.heads.place[-1].bias[:2] = torch.tensor([1.0, 0.5])
    return policy


@pytest.fixture(scope="session")
def bundle(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("bundle") / "policy.onnx"
    write_bundle(path, export_policy(policy, {"commit": "abc", "frames": 12}))
    return read_bundle(path)


def _observations(contract: Contract, steps: int, batch: int, seed: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    rows = []
    for step in range(steps):
        level = 10.0 ** rng.uniform(-4, -0.5, (batch, 1, 1))
        audio = np.round(np.clip(rng.standard_normal((batch, 4, 4000)) * level, -1, 1) * 32767) / 32768
        rows.append(
            {
                "audio": audio.astype(np.float32) * (step % 5 != 3),  # silence now and then
                "depth": (rng.uniform(0, 10, (batch, 64, 64)) * (rng.random((batch, 64, 64)) > 0.2)).astype("f4"),
                "depth_age_s": rng.uniform(0, 0.2, (batch, 1)).astype(np.float32),
                "motion": rng.normal(0, 0.3, (batch, 6)).astype(np.float32),
                "motion_valid": (rng.random((batch, 1)) > 0.3).astype(np.float32),
                "episode_start": np.full((batch, 1), float(step in (0, 7)), dtype=np.float32),
            }
        )
    return rows


@pytest.fixture(scope="session")
def observations() -> Callable[..., list[dict[str, np.ndarray]]]:
    return _observations


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def _write(data: bytes) -> Path:
        path = tmp_path / "bundle.onnx"
        path.write_bytes(data)
        return path

    return _write


@pytest.fixture(scope="session")
def simulated_cuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the driver that pretends to have a GPU."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make the simulated driver with")
    library = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    source = Path(__file__).with_name("simulated_cuda.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-w", "-o", library, source], check=True)
    return library


@pytest.fixture
def gpu(simulated_cuda: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ctypes.CDLL:
    """Put a simulated GPU with TensorRT into the machine, with a cache of its own; returns the driver."""
    monkeypatch.setitem(sys.modules, "tensorrt", beside("simulated_tensorrt"))
    for name in ("tensorrt", "tensorrt_build"):
        monkeypatch.delitem(sys.modules, f"phonotaxis.export.engines.{name}", raising=False)
    monkeypatch.setattr("phonotaxis.export.engines.cuda.LIBRARY", str(simulated_cuda))
    monkeypatch.setenv("PHONOTAXIS_CACHE", str(tmp_path / "cache"))
    driver = ctypes.CDLL(str(simulated_cuda))
    for name, value in {"simulated_pending": 0, "simulated_failure": 0, "simulated_multiprocessors": 8}.items():
        ctypes.c_int.in_dll(driver, name).value = value
    ctypes.c_size_t.in_dll(driver, "simulated_bytes").value = 7 << 30
    return driver


@pytest.fixture(params=sorted(ENGINES))
def engine_name(request: pytest.FixtureRequest) -> str:
    """Each engine in turn; TensorRT on the simulated GPU."""
    if request.param == "tensorrt":
        request.getfixturevalue("gpu")
    return str(request.param)


@pytest.fixture(scope="session")
def tensorrt_tools(repository: Path) -> Path:
    """Folder of NVIDIA's parser, bindings and stubs; see `tools/setup_tensorrt.sh`."""
    folder = repository / ".venv/tensorrt"
    if not (folder / "complete").is_file():
        pytest.skip("TensorRT's packages aren't here: `make tensorrt` fetches them, on Linux x86-64 with gcc")
    return folder
