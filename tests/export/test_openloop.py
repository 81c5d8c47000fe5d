from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from phonotaxis.configs.contract import DiscreteActions
from phonotaxis.export.bench import bench
from phonotaxis.export.bundle import Bundle, open_bundle
from phonotaxis.export.check import verdicts
from phonotaxis.export.engines import open_engine
from phonotaxis.export.inspect import sections
from phonotaxis.export.onnx import export_policy
from phonotaxis.export.openloop import OpenLoop, float64_step, torch_step
from phonotaxis.export.parity import Flip, ParityReport
from phonotaxis.policies.policy import Policy

Observations = Callable[..., list[dict[str, np.ndarray]]]


def _run(policy: Policy, bundle: Bundle, rows: list[dict[str, np.ndarray]]) -> OpenLoop:
    loop = OpenLoop(bundle.contract, torch_step(policy), {"fp32": open_engine(bundle).run}, episodes=3)
    for number, row in enumerate(rows):
        loop.add(row, np.array([0, 1, 2]) if number % 2 == 0 else np.array([2]))
    return loop


def test_rows_come_and_go_with_their_own_memory(policy: Policy, bundle: Bundle, observations: Observations) -> None:
    loop = _run(policy, bundle, observations(bundle.contract, 12, 3, 0))
    report = loop.reports["fp32"]
    assert report.frames == 6 * 3 + 6
    assert report.largest["logits"] < 1e-4
    assert report.flips == []
    assert loop.action.shape == (3,)
    assert len(report.episodes) == 4  # three rows, and another start on the way of one
    assert max(report.episodes) == report.largest["logits"]
    found = verdicts(loop.reports)["fp32"]
    assert found.accepted
    assert found.unexplained_flips == 0
    assert found.success is None


def test_another_network_is_refused(policy: Policy, bundle: Bundle, observations: Observations) -> None:
    other = copy.deepcopy(policy)
    with torch.no_grad():
        other.heads.action[-1].bias[2] += 5.0
    report = _run(other, bundle, observations(bundle.contract, 12, 3, 0)).reports["fp32"]
    found = verdicts({"fp32": report})["fp32"]
    assert "logits differ by 5" in found.reasons[0]
    assert report.episodes_over(1e-4) == len(report.episodes)
    assert report.median_episode > 1.0
    assert not found.accepted


def test_float64_says_which_of_two_rounds(policy: Policy, bundle: Bundle, observations: Observations) -> None:
    def coarse(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = open_engine(bundle).run(inputs)
        return outputs | {"logits": np.round(outputs["logits"], 2)}

    sides = {"engine": (torch_step(policy), coarse), "reference": (coarse, torch_step(policy))}
    for name, (reference, engine) in sides.items():
        loop = OpenLoop(bundle.contract, reference, {"fp32": engine}, 1, float64_step(policy))
        for row in observations(bundle.contract, 4, 1, 0):
            loop.add(row, np.array([0]))
        origin = loop.reports["fp32"].origin
        assert origin is not None
        found = {"engine": origin.engine, "reference": origin.reference}
        assert found.pop(name) > 1e-3
        assert max(found.values()) < 1e-5
        assert origin.step > 1e-3
        assert "in float64 the engine is off by" in verdicts(loop.reports)["fp32"].reasons[0]


def test_a_memory_that_makes_much_of_little_is_told_from_a_wrong_step(
    policy: Policy, bundle: Bundle, observations: Observations
) -> None:
    def drifting(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = open_engine(bundle).run(inputs)
        return outputs | {"state_out": outputs["state_out"] + np.float32(0.5)}

    loop = OpenLoop(bundle.contract, torch_step(policy), {"fp32": drifting}, 1, float64_step(policy))
    for number, row in enumerate(observations(bundle.contract, 4, 1, 0)):
        loop.add(row | {"episode_start": np.full((1, 1), float(number == 0), np.float32)}, np.array([0]))
    report = loop.reports["fp32"]
    assert report.origin is not None
    assert report.largest["logits"] > 100 * report.origin.step
    assert report.origin.step < 1e-5


def test_an_action_that_isnt_the_argmax_of_its_logits_is_unexplained(
    policy: Policy, bundle: Bundle, observations: Observations
) -> None:
    def lying(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = open_engine(bundle).run(inputs)
        return outputs | {"action": (outputs["action"] + 1) % 4}

    loop = OpenLoop(bundle.contract, torch_step(policy), {"fp32": lying}, episodes=1)
    for row in observations(bundle.contract, 2, 1, 0):
        loop.add(row, np.array([0]))
    found = verdicts(loop.reports)["fp32"]
    assert found.unexplained_flips == 2
    assert found.reasons == ("2 actions flipped by a margin over 0.0002, more than rounding explains",)


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", 2e-4), ("fp16", 2e-2)])
def test_a_flip_that_a_difference_of_logits_made_is_explained_by_rounding_alone(precision: str, allowed: float) -> None:
    for margin, unexplained in ((0.9 * allowed, 0), (1.1 * allowed, 1)):
        report = ParityReport(frames=1000, flips=[Flip(3, 0, 1, 2, margin)], largest={"logits": margin})
        found = verdicts({precision: report})[precision]
        assert found.unexplained_flips == unexplained
        assert any("more than rounding explains" in reason for reason in found.reasons) == bool(unexplained)


def test_eight_bits_are_accepted_by_their_success_alone() -> None:
    report = ParityReport(frames=1000, flips=[Flip(3, 0, 1, 2, 0.5)], largest={"logits": 1.1})
    found = verdicts({"int8": report})["int8"]
    assert found.unexplained_flips is None
    assert found.reasons == ("how often it succeeds wasn't measured, which is all that bounds eight bits",)


def test_bench_measures_every_engine(policy: Policy) -> None:
    bundle = open_bundle(export_policy(policy, {}))
    found = bench({"fp32": bundle}, steps=10)
    assert set(found) >= {"eager_fp32", "onnxruntime_fp32"}
    for one in found.values():
        assert 0.0 < one.p50_ms <= one.p99_ms <= one.max_ms
        assert one.steps == 10
        assert one.start_s > 0.0
        assert one.memory_mb > 10.0
    assert found["onnxruntime_fp32"].memory_mb < found["eager_fp32"].memory_mb


def test_the_engine_starts_without_torch(bundle: Bundle) -> None:
    code = (
        "import json, sys\n"
        "from phonotaxis.export import bench\n"
        f"bench.main(['onnxruntime', {str(bundle.path)!r}, '1', '0'])\n"
        "print(json.dumps([name for name in ('torch', 'onnx', 'numba') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_inspection_shows_no_strangers_escapes(tiny_bundle: Bundle) -> None:
    odd, actions = "a\x1b[2J\u202e\n", tiny_bundle.contract.actions
    assert isinstance(actions, DiscreteActions)
    named = actions.model_copy(update={"names": ("stop", odd, "left", "right")})
    contract = tiny_bundle.contract.model_copy(update={"task": odd, "actions": named})
    shown = sections(replace(tiny_bundle, contract=contract, provenance={odd: odd, "precision": odd}))
    cells = [cell for _, rows in shown for row in rows for cell in row]
    assert all(cell.isprintable() for cell in cells)
    assert cells.count("a?[2J??") == 5  # task, precision, a key and two values of the provenance


def test_inspection_shows_the_contract_and_moves_no_cursor(policy: Policy) -> None:
    bundle = open_bundle(export_policy(policy, {"commit": "abc\x1b[2J"}))
    text = "\n".join(" ".join(row) for _, rows in sections(bundle) for row in rows)
    for part in (
        "audio float32 4 x 4000 -1 to 1",
        "fp32",
        "0.25 s: 4000 samples at 16000 Hz",
        "forward (1 m/s",
        "abc?[2J",
    ):
        assert part in text, part
    assert text.isprintable() or all(character.isprintable() or character == "\n" for character in text)
