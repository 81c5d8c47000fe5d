"""The commands, one file each, which import little at their top: `phonotaxis --help` must be instant."""

from __future__ import annotations

from phonotaxis.commands import (
    bench,
    demo,
    devices,
    doctor,
    evaluate,
    export,
    hil,
    instruct,
    listen,
    prefer,
    replay,
    robot,
    run,
    scene,
    sounds,
    tradeoff,
    train,
    tune,
)
from phonotaxis.commands.command import Command, Group

COMMANDS: tuple[Command, ...] = (
    demo.COMMAND,
    train.COMMAND,
    tune.COMMAND,
    instruct.COMMAND,
    prefer.COMMAND,
    evaluate.COMMAND,
    tradeoff.COMMAND,
    export.COMMAND,
    run.COMMAND,
    listen.COMMAND,
    hil.COMMAND,
    replay.COMMAND,
    doctor.COMMAND,
)
GROUPS: tuple[Group, ...] = (robot.GROUP, devices.GROUP, bench.GROUP, scene.GROUP, sounds.GROUP)
