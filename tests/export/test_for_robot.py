"""A policy is written for a robot that it wasn't trained on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.compatibility import check_compatible, mismatches
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.configs.suite import load_suite
from phonotaxis.configs.trained import trainings
from phonotaxis.export.bundle import Bundle, open_bundle
from phonotaxis.export.engines import open_engine
from phonotaxis.export.for_robot import Met, beyond_training, contract_for, met_in
from phonotaxis.export.onnx import export_policy
from phonotaxis.export.shipped import shipped_policy
from phonotaxis.export.weights import restored_policy

TURN_RAD = math.radians(10.0)


def _task(suite: str, **changes: Any) -> dict[str, Any]:
    task: dict[str, Any] = load_suite(suite).task_of("train").model_dump(mode="json")
    return task | changes


def _rover(**changes: Any) -> RobotConfig:
    fields: dict[str, Any] = {
        "name": "rover",
        "array": presets.load("arrays", "respeaker_4mic_hat", MicrophoneArray),
        "camera": {
            "pinhole": {
                "width": 424, "height": 240, "fx": 223.0, "fy": 216.0, "cx": 212.0, "cy": 120.0,
                "mount_xyz_m": (0.1, 0.0, 0.5), "max_range_m": 6.0,
            }
        },
        "drive": {"max_v_mps": 0.4, "max_w_radps": 2.0, "max_acceleration_mps2": 1.0, "latency_s": 0.05},
        "safety": {"max_v_mps": 0.3, "max_w_radps": 2.0},
        **changes,
    }  # fmt: skip
    return RobotConfig.model_validate(fields)


@pytest.fixture(scope="module")
def own() -> Contract:
    return load_suite("audiogoal-v1").task.contract()


@pytest.fixture(scope="module")
def met(own: Contract) -> Met:
    return met_in([{"lanes": [{"task": _task("audiogoal-v1")}, {"task": _task("audiogoal-robot-v1")}]}], own)


def test_what_training_met_is_told_by_all_its_lanes(met: Met) -> None:
    assert [array.name for array in met.arrays] == ["respeaker_usb_v2"]
    assert met.steps_m == pytest.approx((0.075, 0.25))
    assert met.turns_rad == pytest.approx((TURN_RAD, TURN_RAD))
    assert met.latencies_s == (0.0, 0.25)
    assert met.ramps_s == pytest.approx((0.0, 0.6))
    assert met.turn_ramps_s == pytest.approx((0.0, 4.0 * TURN_RAD / 3.0))
    assert met.height_m == 0.6
    assert met.view_deg == (87.0, 58.0)


def test_what_came_of_several_trainings_met_what_each_did(met: Met, own: Contract) -> None:
    """Such as one of many lanes that reinforcement on one of them, in lanes of its own, went on with."""
    first, then = _task("audiogoal-robot-v1"), _task("audiogoal-v1")
    assert met_in([{"task": then, "ppo": {"lanes": [{"task": then}]}}, {"task": first}], own) == met


def test_a_training_of_one_task_and_none_at_all(own: Contract) -> None:
    assert met_in([{"task": _task("audiogoal-v1", step_m=0.1)}], own).steps_m == pytest.approx((0.1, 0.1))
    turns, at_once = (own.body.max_w_radps * 0.25,) * 2, (0.0, 0.0)
    assert met_in([], own) == Met((own.array,), (0.25, 0.25), turns, at_once, at_once, at_once, 0.6, None)


def test_what_a_lane_draws_counts_from_end_to_end(own: Contract) -> None:
    drawn = {"latency_s": [0.1, 0.2], "max_acceleration_mps2": [2.0, 4.0], "max_angular_acceleration_radps2": 3.0}
    met = met_in([{"task": _task("audiogoal-v1", randomise=drawn)}], own)
    assert met.latencies_s == (0.1, 0.2)
    assert met.ramps_s == (0.25, 0.5)
    assert met.turn_ramps_s == pytest.approx((own.body.max_w_radps / 3.0,) * 2)


def test_a_rover_that_a_policy_refuses_runs_it_once_written_for_it(own: Contract, met: Met) -> None:
    rover = _rover()
    assert {point.split(":")[0] for point in mismatches(own, rover)} >= {"camera", "v", "microphone positions"}
    contract = contract_for(own, rover, met)
    check_compatible(contract, rover)
    assert contract.body.max_v_mps == 0.3  # what its limits allow
    assert contract.body.max_w_radps == pytest.approx(4.0 * TURN_RAD)  # what training met, though it could turn faster
    assert contract.actions.setpoints[1:] == ((0.3, 0.0), (0.0, 4.0 * TURN_RAD), (0.0, -4.0 * TURN_RAD))
    assert (contract.body.max_acceleration_mps2, contract.body.latency_s) == (1.0, 0.05)


def test_a_view_narrower_than_any_in_training_is_refused(own: Contract, met: Met) -> None:
    always_all = met._replace(view_deg=None)
    assert [point[:6] for point in mismatches(contract_for(own, _rover(), always_all), _rover())] == ["camera"]
    narrow = _rover(camera={"pinhole": _rover().camera.pinhole.model_copy(update={"fx": 400.0})})
    (fault,) = mismatches(contract_for(own, narrow, met), narrow)
    assert "of the policy's view" in fault
    assert "policy 87 x 58 deg" in fault


def test_what_training_did_not_meet_is_said(own: Contract, met: Met) -> None:
    assert beyond_training(contract_for(own, _rover(array=own.array), met), met) == []
    crawler = _rover(safety={"max_v_mps": 0.1, "max_w_radps": 0.2})
    array, step, turn = beyond_training(contract_for(own, crawler, met), met)
    assert "respeaker_usb_v2, not respeaker_4mic_hat" in array
    assert step == "a step is 0.025 m; training met 0.075 to 0.25 m"
    assert turn == "a turn is 2.86 degrees; training met 10 to 10"


def test_a_slow_and_late_drive_is_said_and_a_later_one_refused(own: Contract, met: Met) -> None:
    fields = {"max_acceleration_mps2": 0.25, "max_angular_acceleration_radps2": 1.0}
    sluggish = _rover(array=own.array, drive={"max_v_mps": 0.4, "max_w_radps": 2.0, "latency_s": 0.2, **fields})
    contract = contract_for(own, sluggish, met)
    ramp, turn_ramp = beyond_training(contract, met)
    assert ramp == "a step's speed is reached in 1.2 s; training met 0 to 0.6 s"
    assert turn_ramp == "a turn's speed is reached in 0.698 s; training met 0 to 0.233 s"
    prompt = met._replace(latencies_s=(0.0, 0.1))
    assert beyond_training(contract, prompt)[0] == "a setpoint acts after 0.2 s; training met 0 to 0.1 s"
    late = _rover(drive={"latency_s": 1.0})
    (point,) = mismatches(contract_for(own, late, met), late)
    assert "drive.latency_s 1 s" in point


def test_an_array_of_a_known_name_in_another_place_is_another(own: Contract, met: Met) -> None:
    places_m = tuple((x, y, z + 0.3) for x, y, z in own.array.mic_xyz_m)
    robot = _rover(array=own.array.model_copy(update={"mic_xyz_m": places_m}))
    (array,) = beyond_training(contract_for(own, robot, met), met)
    assert "respeaker_usb_v2, not respeaker_usb_v2 with these places and directivities" in array
    named = _rover(array=own.array.model_copy(update={"name": "mine"}))
    assert beyond_training(contract_for(own, named, met), met) == []


def test_a_guardians_jerk_becomes_an_acceleration(own: Contract, met: Met) -> None:
    gentle = _rover(array=own.array, safety={"max_v_mps": 0.3, "max_jerk_mps3": 4.0, "max_angular_jerk_radps3": 30.0})
    contract = contract_for(own, gentle, met)
    check_compatible(contract, gentle)
    assert contract.body.max_acceleration_mps2 is not None
    assert contract.body.max_acceleration_mps2 < 0.6  # of the drive's 1.0
    assert contract.body.max_angular_acceleration_radps2 is not None


def test_a_higher_robot_is_taken_as_it_is_and_said(own: Contract, met: Met) -> None:
    tall = _rover(array=own.array, height_m=1.2)
    contract = contract_for(own, tall, met)
    check_compatible(contract, tall)
    assert contract.body.height_m == 1.2
    assert beyond_training(contract, met) == ["the body is 1.2 m high; training met 0.6 m at most"]


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    from phonotaxis.export.bundle import read_bundle

    return read_bundle(shipped_policy())


def test_the_shipped_policy_runs_on_a_rover(shipped: Bundle) -> None:
    """Its weights are those that were shipped, its constants the rover's: bundle and network say the same."""
    rover = _rover()
    contract = contract_for(shipped.contract, rover, met_in(trainings(shipped.provenance), shipped.contract))
    check_compatible(contract, rover)
    policy = restored_policy(shipped, contract)
    written = open_bundle(export_policy(policy, {}))
    check_compatible(written.contract, rover)
    assert written.contract == policy.contract
    before = restored_policy(shipped).state_dict()
    assert all(torch.equal(before[name], weight) for name, weight in policy.state_dict().items())
    rng = np.random.default_rng(0)
    shown = {spec.name: rng.uniform(0.0, 0.3, (1, *spec.shape)).astype(spec.dtype) for spec in contract.observations()}
    state = np.zeros((1, *policy.contract.state_shape), dtype=np.float32)
    said = open_engine(written).run(policy.contract.feed(shown, state))
    with torch.no_grad():
        features = policy.features({name: torch.from_numpy(value) for name, value in shown.items()})
        expected = policy.step(features, torch.from_numpy(state), torch.ones(1, 1))
    np.testing.assert_allclose(said["logits"], expected.logits, atol=1e-4)
