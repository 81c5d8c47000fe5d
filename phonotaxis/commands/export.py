"""`phonotaxis export`: one ONNX file, waveform in, action out; shown, checked and built for a device."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Json, TrainingOrBundle, policy_or_shipped, say
from phonotaxis.commands.precision_check import Trial, checked, refusals, verdict_figures
from phonotaxis.figures import Figure, emit

if TYPE_CHECKING:
    from phonotaxis.export.bundle import Bundle
    from phonotaxis.policies.policy import Policy

STEPS, EPISODES = 10_000, 500
LEAST_EPISODES = 200  # before a lower precision is written: with fewer, a loss of two points is chance
_FILE_WIDTH = 120  # of a table that goes to a file or another program
_ROBOT_ALONE = "--robot writes a bundle in fp32; a check needs a task with such a robot, see --suite"


def export(
    source: TrainingOrBundle = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; SOURCE/policy.onnx by default.")
    ] = None,
    robot: Annotated[
        str | None,
        typer.Option(help="Write it for this robot, a name or a .yaml file: for its microphones and its drive."),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8, written into the graph.")] = "fp32",
    inspect: Annotated[bool, typer.Option("--inspect", help="Show a bundle's contract, and write nothing.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Hold every precision against the network, and write nothing.")
    ] = False,
    tensorrt: Annotated[
        bool, typer.Option("--tensorrt", help="Build a bundle for this machine's GPU and keep the plan.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option(help=f"Recurrent steps of the check, at least; {STEPS} without.", min=1)
    ] = None,
    episodes: Annotated[
        int | None,
        typer.Option(
            help=f"Paired episodes, in which a precision acts; {EPISODES} without. At least {LEAST_EPISODES} where a "
            "precision is written; for --check 0 leaves them out, and int8 unaccepted.",
            min=0,
        ),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="Check on a suite's validation split, not on the training's task.")
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(help="An episode (.mcap) or a folder of them, to calibrate int8 on; may be repeated."),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option(help="Sign a bundle with this Ed25519 key (PEM); writes BUNDLE.sig beside it.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a trained policy as a bundle: one ONNX file that holds everything the robot needs.

    The audio front end is inside the graph, the contract in its metadata, and a seal finds damage. The
    runtime reads all of it from the file and refuses a robot that doesn't match. With --robot the same weights are
    written for another one: its microphones, speeds, acceleration, latency and height take the place of training's.
    What it can't do the command says, and what training never met.

    With --precision fp16 or int8 the products with trained weights are made smaller; eight bits are calibrated on
    episodes of the training's task, or with --calibrate on those that your robot logged. Such a bundle is written
    only if it succeeds as often as the network does: within 1 point (fp16) or 2 points (int8) over 500 paired
    episodes, which takes minutes. A policy with a knob is checked at caution 0 and at 1, which takes twice as long.
    """
    if sum((inspect, check, tensorrt)) > 1:
        raise typer.BadParameter("--inspect, --check and --tensorrt are three different things; choose one")
    if inspect or check or tensorrt:
        _refuse_what_is_of_writing(out, robot, precision, sign)
    elif robot is not None and precision != "fp32":
        raise typer.BadParameter(_ROBOT_ALONE)
    if not check and precision == "fp32":
        _refuse_what_is_of_checking(steps, episodes, suite)
    if calibrate and precision != "int8" and not check:
        raise typer.BadParameter("--calibrate measures the ranges of --precision int8; other precisions have none")
    path = policy_or_shipped(source)
    trial = Trial(
        STEPS if steps is None else steps, EPISODES if episodes is None else episodes, suite, tuple(calibrate or ())
    )
    if not check and precision != "fp32" and trial.episodes < LEAST_EPISODES:
        raise typer.BadParameter(
            f"--episodes {trial.episodes}: a lower precision is written after {LEAST_EPISODES} paired episodes or more"
        )
    if inspect:
        _inspect(path, json)
    elif check:
        _check(path, trial, json)
    elif tensorrt:
        _build(path, json)
    elif sign is not None and path.suffix == ".onnx" and out is None and precision == "fp32" and robot is None:
        from phonotaxis.export.bundle import read_bundle

        emit("export --sign", _signed(read_bundle(path), sign), json)
    else:
        figures = _write(path, out, precision, trial, robot, sign, json)
        emit("export", figures, json)


def _refuse_what_is_of_writing(out: Path | None, robot: str | None, precision: str, sign: Path | None) -> None:
    """Refuse what would be ignored where nothing is written."""
    if robot is not None:
        raise typer.BadParameter(_ROBOT_ALONE)
    if out is not None:
        raise typer.BadParameter("-o names the bundle that is written; --inspect, --check and --tensorrt write none")
    if precision != "fp32":
        raise typer.BadParameter(
            "--precision is of a bundle that is written: write that with -o first, then look at it or build it by its "
            "name; --check holds every precision"
        )
    if sign is not None:
        raise typer.BadParameter("--sign goes with writing a bundle, or with a bundle alone")


def _refuse_what_is_of_checking(steps: int | None, episodes: int | None, suite: str | None) -> None:
    """Refuse what would be ignored where no precision is checked."""
    for option, value in {"--steps": steps, "--episodes": episodes, "--suite": suite}.items():
        if value is not None:
            raise typer.BadParameter(f"{option} is of the check of precisions: add --check, or a lower --precision")


def _load(path: Path) -> tuple[Bundle, Policy | None]:
    """Read a bundle, or export a training in memory, whose network is then at hand too."""
    from phonotaxis.export.bundle import open_bundle, read_bundle

    if path.suffix == ".onnx":
        return read_bundle(path), None
    from phonotaxis.commands.provenance import provenance  # a robot, which has no torch, builds and looks at bundles
    from phonotaxis.export.onnx import export_policy
    from phonotaxis.policies.checkpoint import load_checkpoint

    saved = load_checkpoint(path)
    policy = saved.policy()
    return open_bundle(export_policy(policy, provenance(saved)), path / "policy.onnx"), policy


def _fitted(path: Path, robot: str) -> tuple[Bundle, Policy]:
    """Export a training, or a bundle anew, for a robot, in memory."""
    from phonotaxis.commands.provenance import provenance
    from phonotaxis.configs.compatibility import check_compatible
    from phonotaxis.configs.robot import load_robot
    from phonotaxis.configs.trained import trainings
    from phonotaxis.export.bundle import open_bundle, read_bundle
    from phonotaxis.export.for_robot import beyond_training, contract_for, met_in
    from phonotaxis.export.onnx import export_policy
    from phonotaxis.export.weights import restored_policy
    from phonotaxis.policies.checkpoint import load_checkpoint

    wanted = load_robot(robot)
    serving: Callable[..., Policy]
    if path.suffix == ".onnx":
        bundle = read_bundle(path)
        facts, own, serving = dict(bundle.provenance), bundle.contract, partial(restored_policy, bundle)
    else:
        saved = load_checkpoint(path)
        facts, own, serving = provenance(saved), saved.contract, saved.policy
    met = met_in(trainings(facts), own)
    contract = contract_for(own, wanted, met)
    check_compatible(contract, wanted)
    for note in beyond_training(contract, met):
        say(f"note: {note}")
    policy = serving(contract=contract)
    return open_bundle(export_policy(policy, {**facts, "robot": wanted.name}), path), policy


def _write(
    path: Path, out: Path | None, precision: str, trial: Trial, robot: str | None, key: Path | None, as_json: bool
) -> dict[str, Figure]:
    from phonotaxis.configs.base import ConfigError, did_you_mean
    from phonotaxis.export.bundle import PRECISION_KEY, open_bundle, write_bundle
    from phonotaxis.export.precision import PRECISIONS

    if precision not in PRECISIONS:
        raise ConfigError(f"--precision {precision}{did_you_mean(precision, PRECISIONS)} (known: fp32, fp16, int8)")
    if path.suffix == ".onnx" and out is None:
        raise ConfigError(f"{path} is a bundle already; say with -o what to write")
    target = out or path / "policy.onnx"
    if target.is_dir() or not target.name:
        raise ConfigError(f"-o {target}: expected the name of a file, e.g. policy.onnx; this is a folder")
    if key is not None and not key.is_file():
        raise ConfigError(f"--sign {key}: there is no such file; nothing was written")
    bundle, policy = _load(path) if robot is None else _fitted(path, robot)
    figures: dict[str, Figure] = {}
    if precision != "fp32":
        made, found = checked(bundle, policy, (precision,), trial)
        bundle, figures = made[precision], verdict_figures(found)
        if refused := refusals(found):
            emit("export", figures, as_json)
            sound = all(one.accepted for one in found.values() if one.precision == "fp32")
            advice = "Use a higher precision" if sound else "The graph itself is wrong: no precision of it is written"
            raise ConfigError(f"{'; '.join(refused)}. {advice}")
    target.parent.mkdir(parents=True, exist_ok=True)
    data = bundle.data
    write_bundle(target, data)
    bundle = open_bundle(data, target)  # what was written, and not what lies there by now: it may be signed
    run = ["phonotaxis", "run", str(target), *([] if robot is None else ["--robot", str(robot)])]
    say(f"wrote {target}; next: `{shlex.join(run)}`")
    own = {"bundle": Figure(str(target)), "sha256": Figure(bundle.sha256), "size": Figure(len(bundle.data), "byte")}
    if policy is not None:
        own["parameters"] = Figure(sum(weight.numel() for weight in policy.parameters()))
    signed = {} if key is None else _signed(bundle, key)
    return own | {"precision": Figure(str(bundle.provenance.get(PRECISION_KEY, "fp32")))} | signed | figures


def _signed(bundle: Bundle, key: Path) -> dict[str, Figure]:
    """Sign the bytes of a bundle that was read and checked; returns where and by whom."""
    from phonotaxis.export.signature import sign

    made = sign(bundle.path, bundle.data, key)
    say(f"wrote {made.path}; a robot that requires it: `trusted_signers: [{made.signer}]` in its .yaml")
    return {"signature": Figure(str(made.path)), "signer": Figure(made.signer)}


def _check(path: Path, trial: Trial, as_json: bool) -> None:
    from phonotaxis.export.precision import PRECISIONS

    bundle, policy = _load(path)
    _, found = checked(bundle, policy, PRECISIONS, trial)
    emit("export --check", verdict_figures(found), as_json)
    say("fp16 on a CPU is emulation: it says nothing about a GPU's rounding, and nothing about speed")
    for refusal in refusals(found):
        say(refusal)
    if not all(verdict.accepted for verdict in found.values() if verdict.precision == "fp32"):
        raise typer.Exit(1)


def _inspect(path: Path, as_json: bool) -> None:
    from phonotaxis.export.inspect import sections

    bundle, _ = _load(path)
    if as_json:
        import sys
        from json import dumps, loads

        shown = {
            "path": str(bundle.path), "sha256": bundle.sha256, "size": len(bundle.data),
            "precision": bundle.provenance.get("precision", "fp32"), "contract": loads(bundle.contract.to_json()),
            "provenance": bundle.provenance,
        }  # fmt: skip
        sys.stdout.write(dumps(shown) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    for title, rows in sections(bundle):
        table = Table(box=None, pad_edge=False, show_header=False)
        for row in rows:
            table.add_row("  " + row[0], *row[1:])
        console.print(title)
        console.print(table)


def _build(path: Path, as_json: bool) -> None:
    import time

    from phonotaxis.export.engines import open_engine

    bundle, _ = _load(path)
    began = time.monotonic()
    engine = open_engine(bundle, "tensorrt", say=say)
    figures = {name: Figure(value) for name, value in engine.fingerprint.items()}
    emit("export --tensorrt", figures | {"ready_s": Figure(time.monotonic() - began, "s")}, as_json)


COMMAND = Command(
    "export",
    export,
    (
        ("phonotaxis export runs/train", "writes runs/train/policy.onnx"),
        ("phonotaxis export --robot rover.yaml -o rover.onnx", "the shipped policy, for your robot"),
        ("phonotaxis export runs/train -o policy.onnx --precision int8", "smaller, if it decides as well"),
        ("phonotaxis export policy.onnx -o small.onnx --precision int8 --calibrate runs/episodes", "on what it heard"),
        ("phonotaxis export policy.onnx --inspect", "what it sees, says and was made for"),
        ("phonotaxis export policy.onnx --check --json", "every precision against the network, for a script"),
        ("phonotaxis export policy.onnx --sign key.pem", "for robots that run signed policies alone"),
        ("phonotaxis export policy.onnx --tensorrt", "on the device: build once, start in seconds"),
    ),
)
