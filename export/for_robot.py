"""A policy for a robot that it wasn't trained on: the same weights behind its microphones and on its drive.

Nothing that is trained depends on array or body: what does are constants of the graph, which are computed anew. How
well it then does is another question: what training met is told beside what the robot has.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from typing import NamedTuple

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.compatibility import HEIGHT_TOLERANCE_M, array_mismatches, axes_of, steady_acceleration
from phonotaxis.configs.contract import Body, Contract, DiscreteActions
from phonotaxis.configs.randomisation import Range
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.trained import Trainings, trained_tasks

_ALIKE = 1.05  # a ratio up to which a step, a turn or a time is one that training met
_ALIKE_S = 0.01  # likewise a difference of times

Span = tuple[float, float]  # least and greatest


class Met(NamedTuple):
    """What trainings met.

    Attributes:
        arrays: microphone arrays, in the order of its lanes.
        steps_m: shortest and longest step.
        turns_rad: smallest and largest turn of a step.
        latencies_s: least and greatest time from a setpoint until it acts.
        ramps_s: least and greatest time that the drive takes from rest to the speed of a step.
        turn_ramps_s: likewise to the rate of a turn.
        height_m: of the highest body.
        view_deg: horizontal and vertical angle of the narrowest view; None where all of the image was always shown.
    """

    arrays: tuple[MicrophoneArray, ...]
    steps_m: Span
    turns_rad: Span
    latencies_s: Span
    ramps_s: Span
    turn_ramps_s: Span
    height_m: float
    view_deg: tuple[float, float] | None


def met_in(trainings: Trainings, own: Contract) -> Met:
    """Say what trainings met.

    Args:
        trainings: configurations of all those that the policy comes of, as checkpoints and bundles keep them.
        own: contract of what came of it.

    Raises:
        ConfigError: a lane's task is none of this version.
    """
    tasks = trained_tasks(trainings[0], "training") if trainings else []
    for training in trainings[1:]:
        with contextlib.suppress(ConfigError):  # of another version: what it met isn't known
            tasks += trained_tasks(training, "training")
    lanes = [_met_in_lane(task.contract(), task) for task in tasks] or [_met_in_lane(own, None)]
    views = [lane.view_deg for lane in lanes if lane.view_deg is not None]
    return Met(
        arrays=tuple(dict.fromkeys(array for lane in lanes for array in lane.arrays)),
        steps_m=_widest(lane.steps_m for lane in lanes),
        turns_rad=_widest(lane.turns_rad for lane in lanes),
        latencies_s=_widest(lane.latencies_s for lane in lanes),
        ramps_s=_widest(lane.ramps_s for lane in lanes),
        turn_ramps_s=_widest(lane.turn_ramps_s for lane in lanes),
        height_m=max(lane.height_m for lane in lanes),
        view_deg=min(views, key=lambda view: view[0] * view[1], default=own.view_deg),
    )


def _met_in_lane(contract: Contract, task: AudioGoalTask | None) -> Met:
    """Say what one lane met; by its contract alone where its task isn't known."""
    body, period_s = contract.body, contract.control_period_s
    step_m, turn_rad = body.max_v_mps * period_s, body.max_w_radps * period_s
    drawn = {} if task is None else task.randomise.ranges()
    latency = drawn.get("latency_s", Range(low=body.latency_s, high=body.latency_s))
    return Met(
        arrays=(contract.array,),
        steps_m=(step_m, step_m),
        turns_rad=(turn_rad, turn_rad),
        latencies_s=(latency.low, latency.high),
        ramps_s=_ramps_s(body.max_v_mps, body.max_acceleration_mps2, drawn.get("max_acceleration_mps2")),
        turn_ramps_s=_ramps_s(
            body.max_w_radps, body.max_angular_acceleration_radps2, drawn.get("max_angular_acceleration_radps2")
        ),
        height_m=body.height_m,
        view_deg=contract.view_deg,
    )


def _ramps_s(speed: float, acceleration: float | None, drawn: Range | None = None) -> Span:
    """Return the least and greatest time to a speed, at an acceleration (None: at once) or those that are drawn."""
    if drawn is not None:
        return speed / drawn.high, speed / drawn.low
    time_s = 0.0 if acceleration is None else speed / acceleration
    return time_s, time_s


def _widest(spans: Iterable[Span]) -> Span:
    least, greatest = zip(*spans)
    return min(least), max(greatest)


def contract_for(own: Contract, robot: RobotConfig, met: Met) -> Contract:
    """Return a policy's contract behind a robot's microphones and on its drive.

    It goes as fast as robot and training both did, and is as high as the robot. A guardian's jerk becomes a constant
    acceleration that covers as much in a first step. Camera, sample rate and radius stay the policy's own: whether the
    robot fits them `configs.compatibility` says.

    Args:
        own: of the policy.
        robot: that is to run it.
        met: what the training met.
    """
    period_s = own.control_period_s
    forward, turning = axes_of(robot)
    max_v_mps = min(forward.reach, forward.limit, met.steps_m[1] / period_s)
    max_w_radps = min(turning.reach, turning.limit, met.turns_rad[1] / period_s)
    moving_s = period_s - robot.drive.latency_s
    body = Body(
        radius_m=own.body.radius_m,
        height_m=robot.height_m,
        max_v_mps=max_v_mps,
        max_w_radps=max_w_radps,
        max_acceleration_mps2=steady_acceleration(max_v_mps, forward, moving_s),
        max_angular_acceleration_radps2=steady_acceleration(max_w_radps, turning, moving_s),
        latency_s=robot.drive.latency_s,
    )
    actions = own.actions
    if isinstance(actions, DiscreteActions):
        v, w = body.max_v_mps / own.body.max_v_mps, body.max_w_radps / own.body.max_w_radps
        actions = actions.model_copy(update={"setpoints": tuple((v * x, w * y) for x, y in actions.setpoints)})
    return own.model_copy(
        update={"array": robot.array, "body": body, "actions": actions, "view_deg": met.view_deg or own.view_deg}
    )


def beyond_training(contract: Contract, met: Met) -> list[str]:
    """List what a robot has that its policy's training never met, a sentence each; empty where it met all of it."""
    body, period_s, found = contract.body, contract.control_period_s, []
    if all(array_mismatches(array, contract.array) for array in met.arrays):
        found.append(_other_array(contract.array, met))
    step_m = body.max_v_mps * period_s
    if step_m * _ALIKE < met.steps_m[0]:
        found.append(f"a step is {step_m:.3g} m; training met {met.steps_m[0]:.3g} to {met.steps_m[1]:.3g} m")
    turn_rad = body.max_w_radps * period_s
    if turn_rad * _ALIKE < met.turns_rad[0]:
        smallest, largest = (math.degrees(angle) for angle in met.turns_rad)
        found.append(f"a turn is {math.degrees(turn_rad):.3g} degrees; training met {smallest:.3g} to {largest:.3g}")
    ramp_s, _ = _ramps_s(body.max_v_mps, body.max_acceleration_mps2)
    turn_ramp_s, _ = _ramps_s(body.max_w_radps, body.max_angular_acceleration_radps2)
    for what, time_s, span in (
        ("a setpoint acts after", body.latency_s, met.latencies_s),
        ("a step's speed is reached in", ramp_s, met.ramps_s),
        ("a turn's speed is reached in", turn_ramp_s, met.turn_ramps_s),
    ):
        if not span[0] / _ALIKE - _ALIKE_S <= time_s <= span[1] * _ALIKE + _ALIKE_S:
            found.append(f"{what} {time_s:.3g} s; training met {span[0]:.3g} to {span[1]:.3g} s")
    if body.height_m > met.height_m + HEIGHT_TOLERANCE_M + 1e-9:
        found.append(f"the body is {body.height_m:g} m high; training met {met.height_m:g} m at most")
    return found


def _other_array(array: MicrophoneArray, met: Met) -> str:
    names = dict.fromkeys(one.name for one in met.arrays)
    otherwise = " with these places and directivities" if array.name in names else ""
    return (
        f"training met the array(s) {', '.join(names)}, not {array.name}{otherwise}: "
        "`phonotaxis evaluate --array` measures what that costs"
    )
