"""`phonotaxis hil`: hardware in the loop: the unmodified robot against the simulator, through real devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from phonotaxis.commands.command import Command, Json, say
from phonotaxis.figures import emit

EPISODES, SECONDS, REPEATS, MAX_S = 10, 60.0, 5, 86_400.0
# phonotaxis.hil.faults.FAULTS, which would be loaded for each --help
FAULT_NAMES = (
    "policy_killed", "policy_stopped", "policy_terminated", "policy_interrupted", "policy_not_finite", "policy_absurd",
    "guardian_killed", "guardian_stopped", "all_killed", "port_unplugged", "chassis_switched_off",
    "sound_server_killed", "source_removed", "channel_dead", "channel_clipped", "channels_swapped", "channel_inverted",
    "camera_gone", "camera_frozen", "camera_garbage", "disk_full", "log_folder_gone", "core_eaten",
    "wall_clock_forward", "wall_clock_back",
)  # fmt: skip
TASK, OUT = "audiogoal", Path("runs/hil")
PAIRS_PER_EPISODE = 5  # of the simulator alone, with and without the loop's latency, for each episode of the loop


def hil(
    policy: Annotated[Path | None, typer.Argument(help="The bundle, an .onnx file; the shipped one without.")] = None,
    task: Annotated[str, typer.Option(help="A shipped task's name, or your own .yaml file.")] = TASK,
    episodes: Annotated[int | None, typer.Option(help=f"Of the task, in real time; {EPISODES} without.", min=1)] = None,
    seconds: Annotated[
        float | None, typer.Option(help=f"Of each episode, at most; {SECONDS:g} without.", min=1.0, max=MAX_S)
    ] = None,
    faults: Annotated[bool, typer.Option("--faults", help="Break things instead, and time the wheels.")] = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Let `devices sync` find planted offsets between sound and image instead.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"With --faults: one of them by name; may be repeated. {', '.join(FAULT_NAMES)}."),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help=f"With --faults: of each; the median counts; {REPEATS} without.", min=1)
    ] = None,
    device_rate: Annotated[
        int | None, typer.Option(help="Samples per second of the array, where it can't do the policy's; e.g. 48000.")
    ] = None,
    caution: Annotated[
        float | None,
        typer.Option(help="0 to 1: how much comfort and safety count, for a policy with this knob; 0 without."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the robot's episodes.")] = OUT,
    seed: Annotated[int | None, typer.Option(help="Of the episodes; 0 without.", min=0)] = None,
    json: Json = False,
) -> None:
    """Drive the unmodified robot in the simulator, through the devices of this operating system, in real time.

    A virtual PulseAudio array, a GStreamer camera and a serial line with a Waveshare board at its end take the
    place of the hardware; the robot's own process can't tell. The same episodes run in the simulator alone, and four
    more for each with and without the loop's latency, so that the gap between simulation and deployment is a number.
    Scenes and sounds are validation's, which training doesn't have.

    With --device-rate the array runs at that rate alone, and the robot resamples. What it hears can't be what was
    rendered then, to the bit: blocks_resampled_differing counts the blocks that aren't, to a code, the array's sound
    resampled in one piece, and sound_difference_db is the largest level of an episode's difference from what was
    rendered, against that sound.

    As root, --faults also fills a disk of its own and sets this machine's wall clock two minutes ahead and back.
    """
    from phonotaxis.configs import presets
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.contract_parts import BUILT_IN, differing
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.deploy.interrupts import take_interrupts
    from phonotaxis.export.bundle import read_bundle
    from phonotaxis.export.shipped import shipped_policy
    from phonotaxis.hil.fault_runs import fault_figures, run_faults
    from phonotaxis.hil.offsets import measure_offsets
    from phonotaxis.hil.paired import figures, run_paired
    from phonotaxis.policies.evaluate import unseen

    _refuse_unheard(faults, sync, {"--only": only, "--repeats": repeats}, {
        "--episodes": episodes, "--seconds": seconds, "--seed": seed,
    })  # fmt: skip
    if device_rate is not None and (sync or faults):
        raise ConfigError("--device-rate is for episodes; it goes with neither --faults nor --sync")
    if sync and not (caution is None and policy is None and task == TASK and out == OUT):
        raise ConfigError("--sync runs no policy and no task: leave POLICY, --caution, --task and --out out")
    take_interrupts()  # a batch system's too: the clock is set back, the disk of its own goes, no process stays
    if sync:
        emit("hil", measure_offsets(say), json)
        return
    named = policy or shipped_policy()
    if named is None:
        raise ConfigError("name a policy: phonotaxis hil POLICY.onnx (this version ships none)")
    chosen, bundle = unseen(presets.load("tasks", task, AudioGoalTask), "validation"), read_bundle(named)
    if odd := differing(bundle.contract, chosen.contract(), (*BUILT_IN, "body", "actions")):
        raise ConfigError(
            f"{named} was made for another {', '.join(odd)} than task {task}, and two robots would be compared; "
            "name the policy's own --task, or write the policy for this one"
        )
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    if faults:
        found = fault_figures(run_faults(chosen, bundle, repeats or REPEATS, out, say, only or (), caution))
    else:
        count, first = episodes or EPISODES, (seed or 0) * 1_000_003
        seeds = [first + number for number in range(PAIRS_PER_EPISODE * count)]
        found = figures(run_paired(chosen, bundle, seeds, count, seconds or SECONDS, out, say, device_rate, caution))
    emit("hil", found, json)


def _refuse_unheard(faults: bool, sync: bool, of_faults: dict[str, Any], of_episodes: dict[str, Any]) -> None:
    """Refuse options that would be ignored.

    Raises:
        typer.BadParameter: with what to do.
    """
    if faults and sync:
        raise typer.BadParameter("--faults and --sync are two different things; choose one")
    if not faults and (said := [name for name, value in of_faults.items() if value]):
        raise typer.BadParameter(f"{' and '.join(said)}: of --faults alone; add --faults")
    if (faults or sync) and (said := [name for name, value in of_episodes.items() if value is not None]):
        raise typer.BadParameter(
            f"{' and '.join(said)}: of episodes alone; leave out {'--faults' if faults else '--sync'}, or these"
        )


COMMAND = Command(
    "hil",
    hil,
    (
        ("phonotaxis hil policy.onnx --episodes 100", "paired with the simulator alone; up to 60 s each"),
        ("phonotaxis hil policy.onnx --device-rate 48000", "on an array that does 48 kHz alone"),
        ("phonotaxis hil policy.onnx --faults", "kill, hang and unplug, and see when the wheels stand"),
        ("phonotaxis hil careful.onnx --caution 0.7", "a policy with this knob, turned up on both sides"),
        ("phonotaxis hil --sync", "how exactly the offset between sound and image is measured"),
        ("phonotaxis hil policy.onnx --faults --only source_removed --repeats 1", "one of them, once"),
    ),
    needs_arguments=True,
)
