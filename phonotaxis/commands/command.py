"""What a command is made of, and the options that several share."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from phonotaxis.errors import UserError, printable

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Robot = Annotated[str, typer.Option(help="A shipped robot's name, or your own .yaml file.")]
TrainingOrBundle = Annotated[
    Path | None, typer.Argument(help="Folder of a training, or a bundle (.onnx); the shipped policy without.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result on the same machine.", min=0)]


@dataclass(frozen=True)
class Command:
    """One command of the command line.

    Attributes:
        name: the word that calls it.
        run: the function; its signature is the command's options, its docstring its help.
        examples: command lines with what they do, shown under the help.
        needs_arguments: print the help when it is called with none.
    """

    name: str
    run: Callable[..., Any]
    examples: tuple[tuple[str, str], ...]
    needs_arguments: bool = False

    @property
    def help(self) -> str:
        """The function's docstring, its paragraphs in one line each: typer would keep the line breaks."""
        paragraphs = inspect.cleandoc(self.run.__doc__ or "").split("\n\n")
        return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

    @property
    def epilog(self) -> str:
        """The examples as typer shows them under the help."""
        lines = [f"  [bold cyan]{line}[/]  [dim]{meaning}[/]" for line, meaning in self.examples]
        return "\n\n".join(["[bold]Examples[/]", *lines])


@dataclass(frozen=True)
class Group:
    """Commands under one word, e.g. `phonotaxis scene show`."""

    name: str
    help: str
    commands: tuple[Command, ...]


def policy_or_shipped(path: Path | None) -> Path:
    """Return the policy that was named, or else the one that comes with this version.

    Raises:
        ConfigError: none was named and none comes with it.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.export.shipped import shipped_policy

    chosen = path or shipped_policy()
    if chosen is None:
        raise ConfigError("this version ships no policy; name one, e.g. policy.onnx")
    return chosen


def say(text: str) -> None:
    """Tell the user what is going on, on standard error: standard output belongs to results."""
    with contextlib.suppress(OSError):  # a pipe or terminal, who read it has gone; the robot, or a training, goes on
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()


def check_picture(option: str, path: Path) -> None:
    """Refuse a picture that couldn't be written, before an hour is spent on what it shall show.

    Raises:
        UserError: not a .png, a folder, or in a place where nothing can be made.
    """
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UserError(f"{option} {path}: expected the name of a file that ends in .png")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"{option} {path}: nothing can be written in {folder}; choose another place")
