"""`phonotaxis export`: one ONNX file, waveform in, action out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phonotaxis.commands.command import Command, Json, say
from phonotaxis.figures import Figure, emit


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a training, e.g. runs/train.")],
    out: Annotated[Path | None, typer.Option(help="File to write; CHECKPOINT/policy.onnx by default.")] = None,
    json: Json = False,
) -> None:
    """Write a trained policy as a bundle: one ONNX file that holds everything the robot needs.

    The audio front end is inside the graph, the contract in its metadata, and a seal finds damage. The
    runtime reads all of it from the file and refuses a robot that doesn't match.
    """
    from phonotaxis.commands.provenance import provenance
    from phonotaxis.export.bundle import read_bundle, write_bundle
    from phonotaxis.export.onnx import export_policy
    from phonotaxis.policies.checkpoint import load_checkpoint

    path = out or checkpoint / "policy.onnx"
    saved = load_checkpoint(checkpoint)
    policy = saved.policy()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(path, export_policy(policy, provenance(saved)))
    bundle = read_bundle(path)
    say(f"wrote {path}; next: `phonotaxis run {path}`")
    figures = {
        "bundle": Figure(str(path)),
        "sha256": Figure(bundle.sha256),
        "size": Figure(len(bundle.data), "byte"),
        "parameters": Figure(sum(weight.numel() for weight in policy.parameters())),
    }
    emit("export", figures, json)


COMMAND = Command(
    "export",
    export,
    (
        ("phonotaxis export runs/train", "writes runs/train/policy.onnx"),
        ("phonotaxis export runs/train --out policy.onnx --json", "for a script"),
    ),
    needs_arguments=True,
)
