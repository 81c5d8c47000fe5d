"""`phonotaxis replay`: look at an episode, prove it, ask another policy, mend it, hand it on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phonotaxis.commands.command import Command, Json, say
from phonotaxis.figures import Figure, emit


def replay(
    episode: Annotated[Path, typer.Argument(help="The episode, an .mcap file; its further parts are found beside it.")],
    check: Annotated[
        bool, typer.Option("--check", help="Recompute what the policy saw, what it said and what safety let through.")
    ] = False,
    policy: Annotated[
        Path | None,
        typer.Option(help="A bundle: the one that ran proves the episode, another says what it would have done."),
    ] = None,
    caution: Annotated[
        float | None,
        typer.Option(help="With --policy: where its knob stands, 0 to 1; without, where the episode's stood."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page to look at and listen to, an .html file.")] = None,
    from_s: Annotated[
        float | None, typer.Option("--from", help="With --report: second at which the page begins.", min=0.0)
    ] = None,
    to_s: Annotated[float | None, typer.Option("--to", help="With --report: second at which the page ends.")] = None,
    recover: Annotated[Path | None, typer.Option(help="Write a whole copy of a torn file, an .mcap file.")] = None,
    compress: Annotated[bool, typer.Option("--compress", help="Compress the copy of --recover.")] = False,
    rerun: Annotated[Path | None, typer.Option(help="Convert for the Rerun viewer, an .rrd file.")] = None,
    lerobot: Annotated[Path | None, typer.Option(help="Add to a LeRobot data set (format v3.0) in a folder.")] = None,
    json: Json = False,
) -> None:
    """Look at an episode, or prove from its raw samples and frames what the robot decided and why.

    Without options it says what the file holds. --check recomputes it in three stages: from samples and frames to
    what the policy saw, from there to what it said, from there to what safety let through. On the engine and
    machine that recorded the episode every bit is compared; elsewhere numbers may differ by 1e-5, and an action
    where its margin was below 2e-5; more where TensorRT computed one side, and that is said. The first difference is
    named by its step and quantity, and the exit code is 1.

    The policy that ran is looked for beside the episode and in the two folders above; --policy names it. With
    another policy, it is asked what it would have done: how often both agree, and where they part. It is told what
    really happened, so behind the first parting it judges a way that it would not have gone. With --caution the policy
    that ran may be asked, too: what it would have done with its knob turned otherwise.

    --report writes one page that needs nothing else: time slider, sound, map, depth, spectrogram, bearing with its
    uncertainty, actions, safety and health. Episodes record people, and so does the page: both are for you alone.

    --recover mends a file that a crash, a full disk or a power cut has torn, up to its last whole record, and joins
    an episode's parts. Foxglove opens episodes as they are.
    """
    from phonotaxis.commands import replay_steps as steps
    from phonotaxis.deploy.episode_reader import read_episode
    from phonotaxis.export.bundle import read_bundle

    if compress and recover is None:
        raise typer.BadParameter("--compress is of the copy that --recover writes: add --recover COPY.mcap")
    if report is None and (from_s is not None or to_s is not None):
        raise typer.BadParameter("--from and --to choose a part of the page: add --report PAGE.html")
    if caution is not None and policy is None:
        raise typer.BadParameter("--caution turns the knob of a policy that is asked: add --policy BUNDLE.onnx")
    for option, path, suffix in (("--report", report, ".html"), ("--rerun", rerun, ".rrd")):
        if path is not None and path.suffix.lower() != suffix:
            raise typer.BadParameter(f"{option} {path}: expected a name that ends in {suffix}")
    figures: dict[str, Figure] = {}
    given = None if policy is None else read_bundle(policy)
    if recover is not None:
        figures |= steps.recovered(episode, recover, compress)
    found = read_episode(episode)
    ran, other = steps.policies(found, given, check, turned=caution is not None)
    proof = steps.checked(found, ran, check or policy is not None or report is not None)
    asked = steps.asked(found, other, caution)
    if proof is None and asked is None:
        figures |= steps.summary(found)
    figures |= steps.check_figures(proof) | steps.other_figures(asked)
    if report is not None:
        figures |= steps.page(found, report, proof, asked, from_s or 0.0, to_s)
    if rerun is not None:
        figures |= steps.to_rerun(found, rerun)
    if lerobot is not None:
        figures |= steps.to_lerobot(found, lerobot)
    emit("replay", figures, json)
    if proof is not None:
        for stage in proof.stages:
            say(str(stage))
        say(str(proof))
    if asked is not None:
        steps.tell_other(asked)
    if proof is not None and not proof.ok:
        raise typer.Exit(1)


COMMAND = Command(
    "replay",
    replay,
    (
        ("phonotaxis replay episode.mcap", "what the file holds"),
        ("phonotaxis replay episode.mcap --check --policy policy.onnx", "every decision, bit for bit"),
        ("phonotaxis replay episode.mcap --policy other.onnx", "what another policy would have done"),
        ("phonotaxis replay episode.mcap --policy policy.onnx --caution 1", "the same with its knob turned up"),
        ("phonotaxis replay episode.mcap --report page.html", "look and listen, in any browser"),
        ("phonotaxis replay torn.mcap --recover mended.mcap", "after a crash or a power cut"),
        ("phonotaxis replay episode.mcap --lerobot data_set/", "a data set to train on"),
    ),
    needs_arguments=True,
)
