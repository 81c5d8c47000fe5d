"""Print what an extra of phonotaxis asks for, one requirement a line, its own extras unfolded."""

from __future__ import annotations

import re
import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10: pip carries the same reader
    from pip._vendor import tomli as tomllib  # type: ignore[no-redef]


def requirements_of(extra: str, pyproject: Path) -> list[str]:
    """Read the requirements of every part and of one extra.

    Args:
        extra: e.g. `robot`.
        pyproject: the file.

    Raises:
        KeyError: there is no such extra.
    """
    project = tomllib.loads(pyproject.read_text())["project"]
    found = list(project["dependencies"])
    for line in project["optional-dependencies"][extra]:
        own = re.fullmatch(r"phonotaxis\[(.+)\]", line)
        for name in own.group(1).split(",") if own else ():
            found += requirements_of(name, pyproject)
        found += [] if own else [line]
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    print("\n".join(requirements_of(sys.argv[1], Path(__file__).parent.parent / "pyproject.toml")))
