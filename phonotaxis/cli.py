"""The command line, `phonotaxis COMMAND`: one file a command in `phonotaxis.commands`, imported when it runs.

Exit codes: 0 success, 1 it failed and the message says why, 2 the command was typed wrongly, 70 a defect of
phonotaxis, 130 Ctrl-C. An error is one or two lines on standard error; `--debug` adds the traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from phonotaxis import __version__
from phonotaxis.commands import COMMANDS, GROUPS
from phonotaxis.commands.command import Command
from phonotaxis.errors import EXIT_INTERRUPTED, describe, printable

NAME = "phonotaxis"
_DEBUG = "--debug"
_CONTEXT = {"help_option_names": ["-h", "--help"]}

_HELP = "A robot learns in simulation to find what it hears, and does it for real on a Jetson."
_EPILOG = """Begin with [bold]phonotaxis demo[/]: it trains, evaluates, exports, runs and replays in minutes.

Is something missing or odd? [bold]phonotaxis doctor[/] says what, and the command that mends it."""

app = typer.Typer(
    name=NAME,
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings=_CONTEXT,
    epilog=_EPILOG,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback(help=_HELP)
def root(
    debug: Annotated[bool, typer.Option(_DEBUG, help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that belong to no command; `run` has read `--debug` before this is called."""


def _add(to: typer.Typer, command: Command) -> None:
    register = to.command(
        command.name, help=command.help, epilog=command.epilog, no_args_is_help=command.needs_arguments
    )
    register(command.run)


for _command in COMMANDS:
    _add(app, _command)
for _group in GROUPS:
    _app = typer.Typer(no_args_is_help=True, help=_group.help, context_settings=_CONTEXT)
    for _command in _group.commands:
        _add(_app, _command)
    app.add_typer(_app, name=_group.name)


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Args:
        arguments: the words after the program's name; `--debug` may stand anywhere among them.

    Returns:
        The exit code.
    """
    words = [word for word in arguments if word != _DEBUG]
    debug = len(words) < len(arguments)
    try:
        code = app(args=words, prog_name=NAME, standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _report_usage(error)
    except BrokenPipeError:
        return _close_broken_pipe()
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the outermost handler: every error becomes words and an exit code
        if debug:
            traceback.print_exc()
        text, code = describe(error)
        _complain(text)
        return code
    if code == EXIT_INTERRUPTED:
        _complain("interrupted")
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line of this process and end it."""
    sys.exit(run(sys.argv[1:]))


def _report_usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else NAME
    message = error.format_message().strip()
    if not message:  # a command without the arguments it needs prints its help by itself
        return error.exit_code
    if message.startswith("Usage:") or "\n" in message:
        sys.stderr.write(message + "\n")
    else:
        _complain(f"{message}\nSee `{path} --help`.")
    return error.exit_code


def _complain(text: str) -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _close_broken_pipe()  # who read our output has gone; the reason is still told
    sys.stderr.write(f"{NAME}: {printable(text)}\n")


def _close_broken_pipe() -> int:
    """End quietly where the reader of our output has gone (`phonotaxis sounds list | head`)."""
    # the interpreter flushes standard output once more at exit
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # SIGPIPE


if __name__ == "__main__":
    main()
