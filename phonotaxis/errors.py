"""Turns exceptions into what a user reads: one or two lines that say what to do, and an exit code."""

from __future__ import annotations

import errno
import json

from phonotaxis.requirements import extra_of_module, install_command

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class UserError(Exception):
    """Something went wrong that the message explains to the user: what, and what to do."""


_OS_HINTS = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EACCES: "check who owns it, or choose another folder",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOENT: "check the path",
    errno.EMFILE: "raise the limit with `ulimit -n 4096`",
}


def describe(error: BaseException) -> tuple[str, int]:
    """Say what went wrong in at most a few lines, and with which exit code to end.

    Anticipated are the project's own exceptions (their messages say what was expected, what came and what
    to do), the operating system's, a package that isn't installed, and Ctrl-C. Anything else is a defect of
    ours and is called that.

    Returns:
        The text without a trailing newline, and the exit code.
    """
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", EXIT_INTERRUPTED
    if is_own(error):
        return str(error) or type(error).__name__, EXIT_FAILED
    if isinstance(error, ModuleNotFoundError) and error.name:
        extra = extra_of_module(error.name)
        if extra is not None:
            return (
                f"this needs {error.name.split('.')[0]}, which isn't installed: {install_command(extra)}",
                EXIT_FAILED,
            )
    if isinstance(error, OSError) and error.errno is not None:
        return _describe_os_error(error), EXIT_FAILED
    if isinstance(error, MemoryError):
        return "out of memory: use fewer worlds or smaller scenes", EXIT_FAILED
    text = " ".join(str(error).split())[:300]
    return (
        f"internal error: {type(error).__name__}: {text}\nThis is a defect; `--debug` shows where.",
        EXIT_INTERNAL,
    )


def is_own(error: BaseException) -> bool:
    """Tell whether the project defined this exception's class, that is, anticipated it."""
    return type(error).__module__.partition(".")[0] == "phonotaxis"


def _describe_os_error(error: OSError) -> str:
    hint = _OS_HINTS.get(error.errno or 0)
    what = error.strerror or type(error).__name__
    where = f"{_readable(error.filename)}: " if error.filename else ""
    return f"{where}{what}" + (f"; {hint}" if hint else "")


def _readable(name: object) -> str:
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return text if text.isprintable() else json.dumps(text)


def printable(text: str) -> str:
    """Spell out control characters but for line feeds and tabs: texts of a stranger's file command no terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
