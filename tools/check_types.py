"""Runs mypy over the whole package.

The packages stand at the top of the repository and are imported as `phonotaxis.<package>`, which setuptools
maps and mypy knows nothing of: run as `mypy -p phonotaxis` it would see the front door alone and pass. So a
small tree of links is laid, `.typing/phonotaxis/envs -> ../../envs` and so on, in which every module stands
where it is imported from, and mypy runs there.

Usage: python tools/check_types.py [mypy options]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("configs", "envs", "policies", "export", "deploy")
_FRONT_DOOR = "phonotaxis"


def lay_links(root: Path, tree: Path) -> Path:
    """Make `tree/phonotaxis` hold a link to every file and package under the name it is imported by.

    Args:
        root: the checkout.
        tree: folder to fill; links that point nowhere any more are removed.

    Returns:
        The folder to run mypy in.
    """
    package = tree / _FRONT_DOOR
    package.mkdir(parents=True, exist_ok=True)
    wanted = {entry.name: entry for entry in (root / _FRONT_DOOR).iterdir() if entry.name != "__pycache__"}
    wanted.update({name: root / name for name in PACKAGES})
    for link in package.iterdir():
        if link.name not in wanted or not link.is_symlink():
            link.unlink()
    for name, target in wanted.items():
        link, pointer = package / name, os.path.relpath(target, package)
        if link.is_symlink() and os.readlink(link) != pointer:
            link.unlink()
        if not link.is_symlink():
            link.symlink_to(pointer)
    return tree


def modules(root: Path) -> list[Path]:
    """List every Python file that a type check has to see, relative to the checkout."""
    folders = [root / name for name in (_FRONT_DOOR, *PACKAGES)]
    return sorted(file.relative_to(root) for folder in folders for file in folder.rglob("*.py"))


def run_mypy(root: Path, tree: Path, options: list[str]) -> tuple[int, str]:
    """Run mypy in a tree of links.

    Returns:
        Its exit code, and its output with the paths of the checkout.
    """
    command = [sys.executable, "-m", "mypy", "--config-file", str(root / "pyproject.toml"),
               "--cache-dir", str(tree.parent / ".mypy_cache"), *options, "-p", _FRONT_DOOR]  # fmt: skip
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    text = re.sub(rf"^{_FRONT_DOOR}/({'|'.join(PACKAGES)})/", r"\1/", done.stdout, flags=re.MULTILINE)
    return done.returncode, text + done.stderr


def main() -> int:
    """Check the checkout this file stands in."""
    code, text = run_mypy(ROOT, lay_links(ROOT, ROOT / ".typing"), sys.argv[1:])
    print("types: " + text.strip() if code == 0 else text.strip())
    return code


if __name__ == "__main__":
    sys.exit(main())
