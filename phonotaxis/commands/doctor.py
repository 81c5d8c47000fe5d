"""`phonotaxis doctor`: what is installed, what is missing for which job, and the command that mends it."""

from __future__ import annotations

from typing import Annotated

import typer

from phonotaxis.commands.command import Command, Json


def doctor(
    job: Annotated[
        str | None, typer.Option(help="Fail unless this job can run: train, robot, bench, record or dev.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Don't import the packages, only look.")] = False,
    json: Json = False,
) -> None:
    """Say what is installed, what is missing for which job, and the command that mends it.

    Without --job it only reports and ends with 0; with it, it ends with 1 where the job can't run.
    """
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


COMMAND = Command(
    "doctor",
    doctor,
    (
        ("phonotaxis doctor", "the whole picture"),
        ("phonotaxis doctor --job robot", "for a set-up script: ends with 1 unless the robot can run"),
    ),
)
