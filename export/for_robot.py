"""A policy for a robot that it wasn't trained on: the same weights behind its microphones and on its drive.

Nothing that is trained depends on array or body: what does are constants of the graph, which are computed anew. How
well it then does is another question: what training met is told beside what the robot has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from phonotaxis.configs.base import build
from phonotaxis.configs.compatibility import least
from phonotaxis.configs.contract import Body, Contract, DiscreteActions
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.configs.task import AudioGoalTask

_ALIKE = 1.05  # a ratio up to which a step or a turn is one that training met


class Met(NamedTuple):
    """What a training met.

    Attributes:
        arrays: names of the microphone arrays, in the order of its lanes.
        steps_m: shortest and longest step.
        turns_rad: smallest and largest turn of a step.
        view_deg: horizontal and vertical angle of the narrowest view; None where all of the image was always shown.
    """

    arrays: tuple[str, ...]
    steps_m: tuple[float, float]
    turns_rad: tuple[float, float]
    view_deg: tuple[float, float] | None


def met_in(training: Mapping[str, Any], own: Contract) -> Met:
    """Say what a training met.

    Args:
        training: its configuration, as checkpoints and bundles keep it.
        own: contract of what came of it.

    Raises:
        ConfigError: a lane's task is none of this version.
    """
    tasks = [lane["task"] for lane in training.get("lanes") or ()] or [training.get("task")]
    contracts = [build(AudioGoalTask, task, "training.task").contract() for task in tasks if task] or [own]
    steps_m = [contract.body.max_v_mps * contract.control_period_s for contract in contracts]
    turns_rad = [contract.body.max_w_radps * contract.control_period_s for contract in contracts]
    views = [contract.view_deg for contract in contracts if contract.view_deg is not None]
    narrowest = min(views, key=lambda view: view[0] * view[1], default=own.view_deg)
    return Met(
        tuple(dict.fromkeys(contract.array.name for contract in contracts)),
        (min(steps_m), max(steps_m)), (min(turns_rad), max(turns_rad)), narrowest,
    )  # fmt: skip


def contract_for(own: Contract, robot: RobotConfig, met: Met) -> Contract:
    """Return a policy's contract behind a robot's microphones and on its drive.

    It goes as fast as robot and training both did. Camera, sample rate and radius stay the policy's own: whether the
    robot fits them `configs.compatibility` says.

    Args:
        own: of the policy.
        robot: that is to run it.
        met: what the training met.
    """
    drive, limits, period_s = robot.drive, robot.safety, own.control_period_s
    body = Body(
        radius_m=own.body.radius_m,
        height_m=own.body.height_m,
        max_v_mps=min(drive.max_v_mps, limits.max_v_mps, met.steps_m[1] / period_s),
        max_w_radps=min(drive.max_w_radps, limits.max_w_radps, met.turns_rad[1] / period_s),
        max_acceleration_mps2=least(drive.max_acceleration_mps2, limits.max_acceleration_mps2),
        max_angular_acceleration_radps2=least(
            drive.max_angular_acceleration_radps2, limits.max_angular_acceleration_radps2
        ),
        latency_s=drive.latency_s,
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
    period_s, found = contract.control_period_s, []
    if contract.array.name not in met.arrays:
        found.append(
            f"training met the array(s) {', '.join(met.arrays)}, not {contract.array.name}: "
            "`phonotaxis evaluate --array` measures what that costs"
        )
    step_m = contract.body.max_v_mps * period_s
    if step_m * _ALIKE < met.steps_m[0]:
        found.append(f"a step is {step_m:.3g} m; training met {met.steps_m[0]:.3g} to {met.steps_m[1]:.3g} m")
    turn_rad = contract.body.max_w_radps * period_s
    if turn_rad * _ALIKE < met.turns_rad[0]:
        smallest, largest = (math.degrees(angle) for angle in met.turns_rad)
        found.append(f"a turn is {math.degrees(turn_rad):.3g} degrees; training met {smallest:.3g} to {largest:.3g}")
    return found
