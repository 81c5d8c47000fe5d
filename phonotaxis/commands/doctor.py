"""`phonotaxis doctor`: what is installed, what is missing for which job, and the command that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phonotaxis.commands.command import Command, Json, say


def doctor(
    job: Annotated[
        str | None, typer.Option(help="Fail unless this job can run: train, robot, devices, bench or dev.")
    ] = None,
    robot: Annotated[
        str | None,
        typer.Option(help="Check this robot (a .yaml file) before its wheels turn; ends with 1 on a fault."),
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="With --robot: the bundle that shall run on it.")] = None,
    wheels_lifted: Annotated[
        bool, typer.Option("--wheels-lifted", help="With --robot: its wheels turn freely, prove the drive's dead man.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Don't import the packages, only look.")] = False,
    json: Json = False,
) -> None:
    """Say what is installed, what is missing for which job, and the command that mends it.

    Without --job it only reports and ends with 0; with it, it ends with 1 where the job can't run. With --robot it
    looks at a robot instead: policy, microphones, camera, drive, dead man.
    """
    if robot is None and (policy is not None or wheels_lifted):
        raise typer.BadParameter("--policy and --wheels-lifted look at a robot: name it with --robot")
    if robot is not None and (job is not None or quick):
        raise typer.BadParameter("--job and --quick look at what is installed, --robot at a robot: ask one at a time")
    if robot is not None:
        _check_robot(robot, policy, wheels_lifted, json)
        return
    from phonotaxis import doctor as checks
    from phonotaxis.figures import emit

    checks.known_job(job)
    report = checks.examine(import_packages=not quick)
    if json:
        emit("doctor", checks.figures(report), as_json=True)
    else:
        checks.print_report(report)
    if job is not None and not report.jobs[job].ready:
        raise typer.Exit(1)


def _check_robot(name: str, policy: Path | None, wheels_lifted: bool, json: bool) -> None:
    from phonotaxis.configs.robot import load_robot
    from phonotaxis.deploy.checkup import check_robot
    from phonotaxis.figures import Figure, emit

    found = {}
    for check in check_robot(load_robot(name), policy, wheels_lifted, say):
        say(f"{'ok ' if check.ok else 'NOT'} {check.name}: {check.text}")
        found[check.name] = Figure(check.ok)
    if json:
        emit("doctor", found, as_json=True)
    if not all(figure.value for figure in found.values()):
        raise typer.Exit(1)


COMMAND = Command(
    "doctor",
    doctor,
    (
        ("phonotaxis doctor", "the whole picture"),
        ("phonotaxis doctor --robot my_robot.yaml --wheels-lifted", "before a robot drives for the first time"),
        ("phonotaxis doctor --job robot", "for a set-up script: ends with 1 unless the robot can run"),
    ),
)
