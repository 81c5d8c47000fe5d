"""`phonotaxis evaluate`: policies and baselines on the same episodes of a suite, with 95 % intervals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonotaxis.commands.command import Command, Json, TrainingOrBundle, check_picture, say
from phonotaxis.figures import Figure, print_json

if TYPE_CHECKING:
    from phonotaxis.configs.contract import Contract
    from phonotaxis.configs.suite import SplitName
    from phonotaxis.configs.task import AudioGoalTask
    from phonotaxis.policies.benchmark import Contestant, Evaluation

OURS = "learnt"
DRAWN = 12  # failures


def evaluate(
    policy: TrainingOrBundle = None,
    suite: Annotated[
        str,
        typer.Option(
            help="audiogoal-v1, audiogoal-hard-v1, audiogoal-hard-v2, audiogoal-robot-v1, semantic-v1, instruction-v1, "
            "a .yaml file, or 'own': the training's own task, of several the first, in scenes it has not seen."
        ),
    ] = "audiogoal-v1",
    split: Annotated[str, typer.Option(help="test, or validation: choose policies by the latter alone.")] = "test",
    episodes: Annotated[int | None, typer.Option(help="The first N of the split's; all without.", min=1)] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="A further policy as NAME=PATH, e.g. deaf=runs/deaf; may be repeated.")
    ] = None,
    sounds: Annotated[
        Path | None, typer.Option(help="Play the recordings of this folder instead: same scenes and starting places.")
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Also random, forward, followers and expert.")] = True,
    baselines_only: Annotated[
        bool, typer.Option("--baselines-only", help="These alone, without a policy; they are kept for later.")
    ] = False,
    caution: Annotated[
        float | None,
        typer.Option(
            help="0 to 1, for a policy with this knob, those of --also stay at 0; `phonotaxis tradeoff` measures it at "
            "several."
        ),
    ] = None,
    array: Annotated[
        str | None, typer.Option(help="Give the robot another microphone array: a preset, or your own .yaml file.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure baselines again instead of taking kept results.")] = (
        False
    ),
    by_sound: Annotated[
        bool, typer.Option("--by-sound", help="Also success by what the goal sounds like: which kinds are found.")
    ] = False,
    failures: Annotated[
        Path | None, typer.Option(help="Draw the first twelve episodes that the policy failed into this PNG.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Of the simulator; results don't depend on it.", min=1)] = 2,
    seed: Annotated[
        int | None, typer.Option(help="Of the episodes of --suite own, 0 without; suites have their own.", min=0)
    ] = None,
    json: Json = False,
) -> None:
    """Measure a policy on a fixed suite of episodes that it has not seen, with 95 % intervals, beside baselines.

    Every policy gets the same episodes, so that differences are paired. Success is to stop within 1 m of the
    source by the shortest walk; SPL weighs it by the length of the way (Anderson et al. 2018). Results of baselines
    are kept in the cache and taken from there until suite or code change. docs/benchmark.md says what each suite and
    figure is. The folder of a `train --seeds` is measured seed by seed, with their mean (`seeds_mean`), whose interval
    resamples seeds and episodes; paired differences are the first seed's.
    """
    from rich.console import Console

    from phonotaxis.commands.contestants import OWN_EPISODES, OWN_TASK
    from phonotaxis.commands.evaluation_table import (
        evaluation_figures,
        figures_by_sound,
        print_by_sound,
        print_evaluation,
    )  # fmt: skip
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.suite import load_suite, with_array
    from phonotaxis.export.shipped import shipped_policy
    from phonotaxis.policies.baseline_store import BaselineStore
    from phonotaxis.policies.benchmark import evaluate_suite

    where = split_named(split)
    if failures is not None:
        check_picture("--failures", failures)
    if baselines_only and not (policy is None and also is None and failures is None and caution is None and baselines):
        raise ConfigError("--baselines-only takes no policy, and nothing that is of one; leave out one or the other")
    if fresh and not baselines:
        raise ConfigError("--fresh measures baselines again, --no-baselines leaves them out; choose one")
    if suite == OWN_TASK:
        of_suites = {
            "--also": also, "--array": array, "--baselines-only": baselines_only, "--caution": caution,
            "--failures": failures, "--fresh": fresh, "--sounds": sounds,
        }  # fmt: skip
        for option, value in of_suites.items():
            if value is not None and value is not False:
                raise ConfigError(f"{option} is of suites; name one by --suite")
        evaluation = _on_own_task(policy, episodes or OWN_EPISODES, seed or 0, baselines, where, threads)
    else:
        if seed is not None:
            raise ConfigError(f"--seed is of --suite own: the episodes of {suite} are fixed, whatever is drawn")
        chosen = with_array(load_suite(suite), array)
        named = "shipped" if policy is None else str(policy)
        policy = None if baselines_only else policy or shipped_policy()
        contestants = _contestants(policy, also or (), chosen.task.contract(), caution, where)
        if not contestants and not baselines:
            raise ConfigError("nothing to measure: name a policy, or leave --no-baselines out")
        folder = None if sounds is None else str(sounds)
        with ProgressBar("evaluating") as bar:
            evaluation = evaluate_suite(
                chosen, contestants, where, episodes, folder, baselines, threads, bar,
                BaselineStore(renew=fresh),
            )  # fmt: skip
        if failures is not None and contestants:
            _draw_failures(failures, suite, chosen.task_of(where, folder), contestants, evaluation, named)
    if json:
        knob = {} if caution is None else {"caution": Figure(caution)}
        by_kind = figures_by_sound(evaluation) if by_sound else {}
        print_json("evaluate", knob | evaluation_figures(evaluation) | by_kind)
        return
    what = f", recordings of {sounds}" if sounds else ""
    what += "" if caution is None else f", caution {caution:g}"
    say(f"{suite}, {split} split, {_count(evaluation)} episodes for each policy{what}")
    print_evaluation(evaluation, Console(highlight=False))
    if by_sound:
        print_by_sound(evaluation, Console(highlight=False))
    if evaluation.kept:
        say(f"taken from the cache, measured by the same code: {', '.join(evaluation.kept)} (--fresh measures again)")


def _draw_failures(
    path: Path, suite: str, task: AudioGoalTask, contestants: dict[str, Contestant], evaluation: Evaluation, named: str
) -> None:
    from phonotaxis.policies.trails import trails
    from phonotaxis.report.failures import draw_trails

    name, contestant = next(iter(contestants.items()))
    failed = [result.episode_seed for result in evaluation.results[name] if not result.success]
    if not failed:
        say(f"{name} failed in no episode: nothing is drawn")
        return
    drawn = trails(task, contestant.make, failed[:DRAWN])
    count = len(evaluation.results[name])
    what = named if name == OURS else name
    draw_trails(path, drawn, f"{suite}, {task.sounds.split}: {what} failed {len(failed)} of {count} episodes")
    say(f"wrote {path}")


def _on_own_task(
    policy: Path | None, episodes: int, seed: int, baselines: bool, split: SplitName, threads: int
) -> Evaluation:
    from phonotaxis.commands.contestants import own_task
    from phonotaxis.commands.progress import ProgressBar
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.policies.evaluate import evaluate_checkpoint

    if policy is not None and seeds_of(policy):
        raise ConfigError(f"--suite own takes one training, {policy} holds several; name one: {seeds_of(policy)[0]}")
    own = own_task(policy, split)
    with ProgressBar("evaluating") as bar:
        return evaluate_checkpoint(
            own.training, episodes, baselines=baselines, seed=seed, progress=bar, split=own.split, threads=threads
        )


def split_named(name: str) -> SplitName:
    """Read a split's name; a wrong one is a `ConfigError`."""
    from phonotaxis.configs.base import ConfigError, did_you_mean
    from phonotaxis.configs.suite import SPLITS

    for split in SPLITS:
        if split == name:
            return split
    raise ConfigError(f"unknown split '{name}'{did_you_mean(name, SPLITS)} (known: {', '.join(SPLITS)})")


def _contestants(
    policy: Path | None, also: Sequence[str], contract: Contract, caution: float | None = None,
    split: SplitName = "test",
) -> dict[str, Contestant]:  # fmt: skip
    """Load the policies by name; `caution` is of the first one, and of all seeds of a training."""
    from phonotaxis.commands.contestants import contestant_of
    from phonotaxis.commands.evaluation_table import SEED, SEEDS_MEAN
    from phonotaxis.configs.base import ConfigError

    paths = {} if policy is None else {_seed_name(seed): seed for seed in seeds_of(policy)} or {OURS: policy}
    turns = dict.fromkeys(paths, caution)
    for pair in also:
        name, separator, path = pair.partition("=")
        if not separator or not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or name in paths:
            raise ConfigError(f"--also {pair}: expected NAME=PATH with a new name in snake_case, e.g. deaf=runs/deaf")
        if name.startswith(SEED) or name == SEEDS_MEAN:
            raise ConfigError(f"--also {pair}: the name is kept for the seeds of one training; choose another")
        paths[name] = Path(path)
    return {name: contestant_of(name, path, contract, turns.get(name), split) for name, path in paths.items()}


def seeds_of(folder: Path) -> list[Path]:
    """Return the trainings that `train --seeds` left in a folder, by number; none for the folder of one training."""
    from phonotaxis.policies.checkpoint import has_checkpoint

    if has_checkpoint(folder):
        return []
    found = [path for path in folder.glob("seed-*") if path.name.removeprefix("seed-").isdecimal() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("seed-")))


def _seed_name(folder: Path) -> str:
    return folder.name.replace("-", "_")


def _count(evaluation: Evaluation) -> int:
    return max(len(results) for results in evaluation.results.values())


COMMAND = Command(
    "evaluate",
    evaluate,
    (
        ("phonotaxis evaluate runs/train --split validation", "audiogoal-v1, beside the baselines; to choose by"),
        ("phonotaxis evaluate policy.onnx --suite audiogoal-hard-v1 --json", "the test split, last and once"),
        ("phonotaxis evaluate runs/a --also b=runs/b --split validation", "two policies on the same episodes"),
        ("phonotaxis evaluate runs/three --split validation", "the seeds of a `train --seeds 3`, and their mean"),
        ("phonotaxis evaluate --suite semantic-v1 --split validation --episodes 100", "the shipped one, in a hurry"),
        ("phonotaxis evaluate runs/train --split validation --failures failures.png", "look at what went wrong"),
        ("phonotaxis evaluate --suite semantic-v1 --split validation --by-sound", "which kinds of sound it finds"),
        ("phonotaxis evaluate runs/train --split validation --array uma8", "the same weights, other microphones"),
        ("phonotaxis evaluate runs/train --sounds recordings/", "recordings in the place of generated sounds"),
        ("phonotaxis evaluate --suite semantic-v1 --baselines-only", "what there is to be better than"),
        ("phonotaxis evaluate runs/train --suite own --split validation", "the training's own map, array and sounds"),
    ),
)
