"""What is installed and what is missing, read from the package's own metadata: nothing is listed twice."""

from __future__ import annotations

import functools
import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "phonotaxis"
EXTRAS = ("robot", "devices", "train", "sign", "sofa", "lerobot", "rerun", "bench", "dev")

# Modules whose name differs from their distribution's, where it can't be asked because they aren't installed.
_MODULES = {
    "pyyaml": "yaml",
    "pillow": "PIL",
    "stable-baselines3": "stable_baselines3",
    "sb3-contrib": "sb3_contrib",
    "mapbox-earcut": "mapbox_earcut",
    "foxglove-sdk": "foxglove",
    "rerun-sdk": "rerun",
    "pytest-timeout": "pytest_timeout",
    "pre-commit": "pre_commit",
    "pyserial": "serial",
    "pygobject": "gi",
}
_WITHOUT_MODULE = (
    "types-pyyaml",
    "ruff",
    "mypy",
    "pre-commit",
)  # stubs, and tools that are run, not imported


@dataclass(frozen=True)
class State:
    """One required distribution.

    Attributes:
        name: as in pyproject.toml.
        wanted: version specifier, e.g. `>=2.13,<2.14`; empty for any.
        installed: version at hand; None where it is missing.
        fits: it is installed and in the wanted range.
    """

    name: str
    wanted: str
    installed: str | None
    fits: bool

    @property
    def module(self) -> str | None:
        """Top-level module to import, None where there is none to import."""
        key = canonicalize_name(self.name)
        return None if key in _WITHOUT_MODULE else _MODULES.get(key, key.replace("-", "_"))


def states(extra: str = "") -> list[State]:
    """List what an extra asks for, own extras unfolded, the empty extra being what every part needs.

    Raises:
        ValueError: there is no such extra.
    """
    if extra and extra not in EXTRAS:
        raise ValueError(f"unknown extra '{extra}' (known: {', '.join(EXTRAS)})")
    return [_state(requirement) for requirement in _requirements(extra)]


def extra_of_module(module: str) -> str | None:
    """Return the smallest extra that brings a module, the empty one included; None where none does."""
    top = module.partition(".")[0]
    for extra in ("", *EXTRAS):
        if any(state.module == top for state in states(extra)):
            return extra
    return None


def install_command(extra: str) -> str:
    """Return what to type to get an extra: in a checkout from there, else from the package index."""
    wanted = f"[{extra}]" if extra else ""
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file():
        return f"pip install -e '{root}{wanted}'"
    return f"pip install '{PACKAGE}{wanted}'"


@functools.cache
def _requirements(extra: str) -> tuple[Requirement, ...]:
    found: dict[str, Requirement] = {}
    try:
        texts = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:  # run from its sources, never installed
        return ()
    for text in texts:
        requirement = Requirement(text)
        if not _applies(requirement, extra):
            continue
        if canonicalize_name(requirement.name) == PACKAGE:
            inner = [other for own in sorted(requirement.extras) for other in _requirements(own)]
            found.update({canonicalize_name(other.name): other for other in inner})
        else:
            found[canonicalize_name(requirement.name)] = requirement
    return tuple(found.values())


def _applies(requirement: Requirement, extra: str) -> bool:
    """Tell whether a requirement belongs to exactly this extra on this machine."""
    if requirement.marker is None:
        return extra == ""
    named = re.search(r"extra *== *[\"']([^\"']+)", str(requirement.marker))
    return (named.group(1) if named else "") == extra and requirement.marker.evaluate({"extra": extra})


def _state(requirement: Requirement) -> State:
    wanted = str(requirement.specifier)
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return State(requirement.name, wanted, None, False)
    return State(requirement.name, wanted, version, requirement.specifier.contains(version, prereleases=True))
