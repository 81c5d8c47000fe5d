"""Every name and signature of TensorRT that the engine uses is there, in the oldest and the newest version."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

MODULES = ("phonotaxis.export.engines.tensorrt", "phonotaxis.export.engines.tensorrt_build")


@pytest.fixture(scope="module")
def stubs() -> ModuleType:
    path = Path(__file__).with_name("tensorrt_stubs.py")
    spec = importlib.util.spec_from_file_location("tensorrt_stubs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tree(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("check_types", repository / "tools/check_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    links: Path = module.lay_links(repository, tmp_path_factory.mktemp("types") / "tree")
    return links


def _stub(stubs: ModuleType, tensorrt: Path, version: str, out: Path) -> Path:
    made: Path
    if version == "published":
        made = stubs.published_stub(tensorrt / "stubs", out)
    else:
        made = stubs.bindings_stub(tensorrt / version, out)
    return made


@pytest.mark.parametrize("version", ["10", "published", "11"])
def test_all_that_is_called_exists(
    stubs: ModuleType, tensorrt_tools: Path, tree: Path, tmp_path: Path, version: str
) -> None:
    stub = _stub(stubs, tensorrt_tools, version, tmp_path / "stub")
    assert stubs.complaints(stub, tree, tmp_path / "work", MODULES) == ""


def test_a_name_that_a_version_lacks_is_seen(
    stubs: ModuleType, tensorrt_tools: Path, tree: Path, tmp_path: Path
) -> None:
    """TensorRT 11 has no FP16 flag and no `supports_model`: planted, both are found there."""
    planted = tmp_path / "planted.py"
    planted.write_text("import tensorrt as trt\n\nprint(trt.BuilderFlag.FP16, trt.OnnxParser.supports_model)\n")
    for version, found in (("10", 0), ("11", 2)):
        stub = _stub(stubs, tensorrt_tools, version, tmp_path / version)
        (stub / "planted.py").write_text(planted.read_text())
        text = stubs.complaints(stub, tree, tmp_path / f"work{version}", ("planted",))
        assert text.count("[attr-defined]") == found, text
