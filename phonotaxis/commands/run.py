"""`phonotaxis run`: the robot's runtime with a policy on a robot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Json, Robot, policy_or_shipped, say
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    from phonotaxis.deploy.summary import RunSummary


def run(
    policy: Annotated[Path | None, typer.Argument(help="The bundle, an .onnx file; the shipped one without.")] = None,
    bundle: Annotated[Path | None, typer.Option("--policy", help="The same, as an option.")] = None,
    robot: Robot = "simulated",
    out: Annotated[Path, typer.Option("--out", "--episode", help="Folder for the episode's file.")] = Path(
        "runs/episodes"
    ),
    seconds: Annotated[float, typer.Option("--seconds", "--duration", help="Stop after so long.", min=0.1)] = 60.0,
    goal: Annotated[
        str | None,
        typer.Option(
            help="What to find, for a policy that is told: a sentence or a kind's name; whatever sounds without."
        ),
    ] = None,
    caution: Annotated[
        float | None,
        typer.Option(help="0 to 1: how much comfort and safety count, for a policy with this knob; 0 without."),
    ] = None,
    arm: Annotated[
        bool, typer.Option("--arm", help="Let the robot move. Have a hand on the switch that cuts its power.")
    ] = False,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="You drive; the policy decides and logs, and how often you agree is told.")
    ] = False,
    engine: Annotated[
        str, typer.Option(help="onnxruntime or tensorrt; auto takes TensorRT where it is installed with a GPU.")
    ] = "auto",
    socket: Annotated[Path | None, typer.Option(help="Where a simulated robot listens.")] = None,
    json: Json = False,
) -> None:
    """Run a policy on a robot and log the episode.

    The robot is disarmed until you say --arm here, or `phonotaxis robot arm` in another terminal: without it
    everything runs and is logged, but the drive gets nothing. The policy's stop ends the goal and disarms; with
    --arm whatever disarms ends the run. Software stop is no safety function: a robot needs a switch that cuts its
    motors' power. Episodes record people; say so where you record.

    Without --robot it is a simulated one, which has to be running: `python -m phonotaxis.envs.simulated_robot` in
    another terminal.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.robot import load_robot
    from phonotaxis.deploy.interrupts import take_interrupts
    from phonotaxis.deploy.realtime import go_first
    from phonotaxis.deploy.runtime import ENDED_WELL
    from phonotaxis.deploy.runtime import run as run_policy

    if bundle and policy:
        raise ConfigError("name one policy: phonotaxis run POLICY.onnx, or --policy POLICY.onnx")
    chosen = policy_or_shipped(bundle or policy)
    if arm and shadow:
        raise ConfigError("--arm lets the policy drive, --shadow lets you: choose one")
    take_interrupts()
    go_first()
    chosen_robot = load_robot(robot, socket)
    summary = run_policy(
        chosen_robot, chosen, out, seconds, arm, goal, say=say, shadow=shadow, engine=engine, caution=caution
    )
    emit("run", _figures(summary), json)
    if summary.outcome not in ENDED_WELL:
        say(f"phonotaxis: {summary.outcome}: {summary.message}")
        raise typer.Exit(130 if summary.outcome == "interrupted" else 1)


def _figures(summary: RunSummary) -> dict[str, Figure]:
    if_any = {"caution": summary.caution, "agreement": summary.agreement}
    return {
        "outcome": Figure(summary.outcome),
        "episode": Figure(summary.episode),
        "armed": Figure(summary.armed),
        "steps": Figure(summary.steps),
        "duration": Figure(summary.seconds, "s"),
        "decide_mean": Figure(summary.decide_ms_mean, "ms"),
        "decide_max": Figure(summary.decide_ms_max, "ms"),
        "late_steps": Figure(summary.late_steps),
        "audio_drift": Figure(summary.audio_drift_ppm, "ppm"),
        "audio_drift_std": Figure(summary.audio_drift_std_ppm, "ppm"),
        "sync_error": Figure(summary.sync_error_ms, "ms"),
        "sync_limit": Figure(summary.sync_limit_ms, "ms"),
        "records_lost": Figure(int(summary.log["dropped"] + summary.log["lost"] + summary.log["refused"])),
        "sensor_faults": Figure(summary.fault_count),
        "foreign_modules": Figure(len(summary.loaded_modules_forbidden)),
        **{name: Figure(value) for name, value in if_any.items() if value is not None},
    }


COMMAND = Command(
    "run",
    run,
    (
        ("phonotaxis run policy.onnx --robot my_robot.yaml", "disarmed: look before it moves"),
        ("phonotaxis run policy.onnx --robot my_robot.yaml --arm", "armed: it drives until it stops or 60 s"),
        (
            "phonotaxis run policy.onnx --robot my_robot.yaml --goal 'the phone, not the alarm'",
            "for a policy that is told what to find",
        ),
        (
            "phonotaxis run careful.onnx --robot my_robot.yaml --caution 0.7",
            "a policy with this knob, turned up",
        ),
        ("phonotaxis run policy.onnx --robot my_robot.yaml --shadow", "you drive, the policy looks on"),
    ),
    needs_arguments=True,
)
