"""What a command has measured, in the one form that programs read.

`--json` prints exactly one object on standard output:

```json
{"command": "bench sim", "version": "0.1.0", "commit": "4f0c...", "figures":
 {"steps_per_s": {"value": 1420.5, "unit": "1/s", "interval": null}}}
```

Names are snake_case and stable; a point parts whose figure it is from what it is, as in `learnt.success`.
`interval` is `[low, high]` at 95 %, or null. A value that is not a finite
number (a median of nothing, say) is null, since JSON has no NaN.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import subprocess
import sys
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import phonotaxis
from phonotaxis.errors import printable

Value = float | int | str | bool | None
_WORD = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
_NAME = re.compile(rf"{_WORD}(\.{_WORD})?")


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        value: the number, or a word where the result is one.
        unit: SI symbol (`s`, `m`, `1/s`, `dB`), `%`, or empty for counts, shares and words.
        interval: low and high end of the 95 % interval, in the same unit.
    """

    value: Value
    unit: str = ""
    interval: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the object of the form above."""
        interval = None if self.interval is None else [_finite(end) for end in self.interval]
        return {"value": _finite(self.value), "unit": self.unit, "interval": interval}


def free_name(text: str, taken: Container[str], start: str = "", otherwise: str = "other") -> str:
    """Return the name of a figure about what somebody called `text`, which no other figure has.

    Args:
        text: what is neither letter nor digit becomes an underscore.
        taken: names that there are; a number tells apart what would be the same.
        start: of the name.
        otherwise: stands for a text of which nothing is left.
    """
    first = start + (re.sub("[^a-z0-9]+", "_", text.lower()).strip("_") or otherwise)
    numbered = (f"{first}_{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([first], numbered) if name not in taken)


def document(command: str, figures: Mapping[str, Figure]) -> dict[str, Any]:
    """Return the object that `--json` prints.

    Args:
        command: the command's words, e.g. `bench sim`.
        figures: by name, in the order in which they shall appear.

    Raises:
        ValueError: a name is not snake_case, or two such words with a point between.
    """
    for name in figures:
        if not _NAME.fullmatch(name):
            raise ValueError(f"figure '{name}': expected a name in snake_case, e.g. steps_per_s")
    return {
        "command": command,
        "version": phonotaxis.__version__,
        "commit": commit(),
        "figures": {name: figure.as_json() for name, figure in figures.items()},
    }


def print_json(command: str, figures: Mapping[str, Figure]) -> None:
    """Print the object on standard output, on one line."""
    sys.stdout.write(json.dumps(document(command, figures), allow_nan=False) + "\n")


def commit() -> str | None:
    """Return the commit of the checkout phonotaxis runs from, `-dirty` if changed; None outside of one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists() or not (root / "pyproject.toml").is_file():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _finite(value: Value) -> Value:
    if isinstance(value, (bool, str)) or value is None:
        return value
    number = value.item() if hasattr(value, "item") else value  # a numpy scalar is no JSON number
    return number if math.isfinite(number) else None


def emit(command: str, figures: Mapping[str, Figure], as_json: bool) -> None:
    """Print figures on standard output: as the JSON object, or as a table for people."""
    if as_json:
        print_json(command, figures)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, figure in figures.items():
        table.add_row(name.replace("_", " "), f"{readable(figure.value)} {figure.unit}".rstrip(), _range(figure))
    Console(highlight=False, markup=False, emoji=False).print(table)


def readable(value: Value) -> str:
    """Write a value for people: four significant digits, yes and no, a dash for nothing."""
    value = _finite(value)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return printable(str(value))


def _range(figure: Figure) -> str:
    if figure.interval is None:
        return ""
    low, high = figure.interval
    return f"[{readable(low)}, {readable(high)}]"
