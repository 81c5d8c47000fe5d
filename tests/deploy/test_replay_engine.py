"""On which engine an episode is recomputed, and what follows for its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phonotaxis.deploy import replay_engine
from phonotaxis.deploy.replay import check
from phonotaxis.deploy.replay_engine import GPU_TOLERANCES, tolerance_of
from phonotaxis.deploy.replay_report import TOLERANCE
from phonotaxis.deploy.rollout import write_rollout
from phonotaxis.export.bundle import Bundle
from phonotaxis.export.engines import EngineError, open_engine

GPU = {"engine": "tensorrt", "version": "10.3.0", "plan_sha256": "0" * 64}


class Stand:
    """ONNX Runtime in TensorRT's place, as far off as a GPU may be."""

    def __init__(self, bundle: Bundle, off: float = 0.0) -> None:
        self._real, self._off = open_engine(bundle), off
        self.fingerprint: dict[str, str | int] = dict(GPU)

    def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        outputs = dict(self._real.run(inputs))
        outputs["logits"] = outputs["logits"] + self._off
        return outputs


@pytest.fixture
def on_gpu(toy: Any, tmp_path: Path) -> tuple[Path, Bundle]:
    """Return an episode that a GPU recorded, and its policy."""
    contract = toy.contract()
    bundle = toy.bundle(tmp_path / "toy.onnx", contract)
    path = tmp_path / "gpu.mcap"
    write_rollout(path, bundle, GPU, toy.rollout(contract, open_engine(bundle)), scene="hall", seed=3)
    return path, bundle


def test_its_own_engine_proves_it_bit_by_bit(on_gpu: tuple[Path, Bundle], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def opened(bundle: Bundle, prefer: str, **options: Any) -> Any:
        asked.append(prefer)
        return Stand(bundle)

    monkeypatch.setattr(replay_engine, "open_engine", opened)
    said: list[str] = []
    report = check(*on_gpu, say=said.append)
    assert asked == ["tensorrt"]
    assert report.ok, report
    assert report.same_engine
    assert said == []


def test_elsewhere_another_engine_is_taken_and_that_is_said(
    on_gpu: tuple[Path, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(bundle: Bundle, prefer: str, **options: Any) -> Any:
        if prefer == "tensorrt":
            raise EngineError("engine 'tensorrt' is not installed")
        return open_engine(bundle, prefer, **options)

    monkeypatch.setattr(replay_engine, "open_engine", opened)
    said: list[str] = []
    report = check(*on_gpu, say=said.append)
    assert report.ok, report
    assert not report.same_engine
    assert said == ["recorded on tensorrt, recomputed on onnxruntime: engine 'tensorrt' is not installed"]
    assert "equal within 0.0001 (another engine or machine)" in str(report)


@pytest.mark.parametrize(("off", "ok"), [(0.5e-4, True), (5e-4, False)])
def test_a_gpus_numbers_are_held_to_what_the_export_holds_them_to(
    on_gpu: tuple[Path, Bundle], off: float, ok: bool
) -> None:
    path, bundle = on_gpu
    assert check(path, bundle, Stand(bundle, off), exact=False).ok is ok


def test_between_two_processors_nothing_changes(recorded: tuple[Path, Bundle]) -> None:
    path, bundle = recorded
    other = Stand(bundle, 0.5e-4)
    other.fingerprint = {"engine": "onnxruntime", "version": "another"}
    report = check(path, bundle, other)
    assert report.tolerance == TOLERANCE
    assert not report.ok


def test_the_tolerance_is_that_of_the_bundles_precision() -> None:
    info: Any = SimpleNamespace(engine=GPU)
    cpu: Any = SimpleNamespace(fingerprint={"engine": "onnxruntime"})
    for precision, wanted in GPU_TOLERANCES.items():
        bundle: Any = SimpleNamespace(provenance={} if precision == "fp32" else {"precision": precision})
        assert tolerance_of(info, bundle, cpu) == wanted


def test_a_tolerance_that_proves_little_is_said_to(on_gpu: tuple[Path, Bundle]) -> None:
    """The log says by itself on which engine it was written, so a stranger's may choose the tolerance."""
    path, bundle = on_gpu
    eight = replace(bundle, provenance={**bundle.provenance, "precision": "int8"})
    report = check(path, eight, Stand(eight, 0.5), exact=False)
    assert report.ok, report
    assert "gross faults alone" in str(report)
    assert "gross faults" not in str(check(path, bundle, Stand(bundle), exact=False))


def test_an_engine_that_nobody_knows_is_opened_by_no_name(toy: Any, tmp_path: Path) -> None:
    contract = toy.contract()
    bundle = toy.bundle(tmp_path / "toy.onnx", contract)
    path, said = tmp_path / "odd.mcap", list[str]()
    steps = toy.rollout(contract, open_engine(bundle))
    write_rollout(path, bundle, {"engine": "os.system"}, steps, scene="hall", seed=3)
    assert check(path, bundle, say=said.append).ok
    assert said == ["recorded on os.system, recomputed on onnxruntime: 'os.system' is none of onnxruntime, tensorrt"]
