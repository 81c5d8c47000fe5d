"""The whole truth benchmark: every part in turn, and what is judged over several parts together."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, cast

import numpy as np

from phonotaxis.configs.base import did_you_mean
from phonotaxis.envs.truth import Progress, ReferenceMissing, Row


class UnknownPart(ValueError):
    """A part that the benchmark doesn't have; the message lists those it has."""


class Part(NamedTuple):
    """One module of the benchmark.

    Attributes:
        name: what `--only` takes.
        module: has `run(progress) -> list[Row]`.
        share: of the whole benchmark's time, roughly.
    """

    name: str
    module: str
    share: float


PARTS = (
    Part("arrays", "phonotaxis.envs.truth.arrays", 0.1),
    Part("click", "phonotaxis.envs.truth.click", 0.05),
    Part("coherence", "phonotaxis.envs.truth.coherence", 0.1),
    Part("shoebox", "phonotaxis.envs.truth.shoebox", 0.2),
    Part("waves", "phonotaxis.envs.truth.waves", 0.15),
    Part("wedge", "phonotaxis.envs.truth.wedge_error", 0.1),
    Part("door", "phonotaxis.envs.truth.door", 0.2),
    Part("furnished", "phonotaxis.envs.truth.furnished", 0.25),
    Part("rlr", "phonotaxis.envs.truth.rlr_error", 0.05),
)

_POOLED = ("shoebox", "apartments", "in_sight")  # endings of the rows that are judged together


class Outcome(NamedTuple):
    """What the benchmark found.

    Attributes:
        rows: the table.
        missing: why parts were left out, one line each; empty where all ran.
    """

    rows: list[Row]
    missing: list[str]


def run(only: Sequence[str], progress: Progress) -> Outcome:
    """Run the benchmark, or some of its parts.

    Args:
        only: names of parts; empty for all.
        progress: told of the share that is done.

    Raises:
        UnknownPart: no such part.
        ReferenceMissing: none of the parts that were asked for has its reference installed.
    """
    parts = [_part(name) for name in only] if only else list(PARTS)
    rows: list[Row] = []
    missing: list[str] = []
    done, whole = 0.0, sum(part.share for part in parts)
    for part in parts:

        def inner(share: float, note: str = "", begun: float = done, part: Part = part) -> None:
            progress((begun + share * part.share) / whole, note)

        progress(done / whole, part.name)
        try:
            rows.extend(_runner(part)(inner))
        except ReferenceMissing as error:
            missing.append(f"{part.name}: {error}")
        done += part.share
    if not rows and missing:
        raise ReferenceMissing("; ".join(missing))
    return Outcome([*pooled(rows), *rows], missing)


def check(only: Sequence[str]) -> None:
    """Refuse names that no part has.

    Raises:
        UnknownPart: with the names there are.
    """
    for name in only:
        _part(name)


def _part(name: str) -> Part:
    known = {part.name: part for part in PARTS}
    if name not in known:
        raise UnknownPart(f"unknown part '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})")
    return known[name]


def _runner(part: Part) -> Callable[[Progress], list[Row]]:
    return cast(Callable[[Progress], list[Row]], importlib.import_module(part.module).run)


def pooled(rows: Iterable[Row]) -> list[Row]:
    """Judge together what several parts measured: `rt60_error_median`, `rt60_error_p90` and `level_std_db`.

    Levels are differences from the reference after its own, derived offset; one constant is taken off them all.
    """
    by_name = {row.name: row for row in rows}
    out: list[Row] = []
    errors, own, over = _gather(by_name, "rt60_error_median")
    if errors.size:
        own_p90 = _largest(by_name, "rt60_error_p90")
        out.append(Row("rt60_error_median", float(np.median(errors)), "%", 4.0, own, over, tuple(errors)))
        out.append(Row("rt60_error_p90", float(np.percentile(errors, 90)), "%", 8.0, own_p90, over))
    levels, own, over = _gather(by_name, "level_std_db")
    if levels.size:
        note = f"{over}; offset {levels.mean():+.2f} dB"
        out.append(Row("level_std_db", float(np.std(levels)), "dB", 0.8, own, note, tuple(levels)))
    return out


def _gather(by_name: dict[str, Row], name: str) -> tuple[np.ndarray, float | None, str]:
    """Return the samples of a quantity in all parts, the reference's own largest figure, and where it was had."""
    found = {ending: by_name[f"{name}_{ending}"] for ending in _POOLED if f"{name}_{ending}" in by_name}
    samples = np.concatenate([np.zeros(0), *(np.array(row.samples) for row in found.values())])
    return samples, _largest(by_name, name), " and ".join(found)


def _largest(by_name: dict[str, Row], name: str) -> float | None:
    rows = [by_name[f"{name}_{ending}"] for ending in _POOLED if f"{name}_{ending}" in by_name]
    return max((row.reference_own for row in rows if row.reference_own is not None), default=None)
