"""Results of baselines, kept on disk: they don't change unless the suite, the code or the libraries do."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import scipy
import torch

from phonotaxis import __version__
from phonotaxis.configs import base as configs_base
from phonotaxis.configs.atomic_file import replace_file
from phonotaxis.configs.directivity import MeasuredFile, SofaFile
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs.library import load_scene
from phonotaxis.envs.metrics import EpisodeResult
from phonotaxis.paths import cache_dir

# Of policies, what baselines are made of: a change of the network or its training leaves their results.
_OF_POLICIES = (
    "audio_front_end", "baselines", "bearings", "benchmark", "blocks", "expert", "follower", "kinds", "manifold",
    "mapping", "planner", "rollout", "short_time", "spectra", "tracker", "tuning",
)  # fmt: skip


class BaselineStore:
    """A folder of results by a digest of everything that they depend on.

    Args:
        folder: made when first written to; `benchmark` in the user's cache where it is None.
        renew: take nothing from it, only write.
    """

    def __init__(self, folder: Path | None = None, renew: bool = False) -> None:
        self.renew = renew
        self.folder = cache_dir() / "benchmark" if folder is None else folder
        self._code = code_digest()
        self._scenes: dict[str, str] = {}  # digests by what tasks say of their scenes

    def get(
        self, training: AudioGoalTask, test: AudioGoalTask, name: str, seeds: Sequence[int], drawn: int = 0
    ) -> list[EpisodeResult] | None:
        """Return the results of a baseline, in order; None if they aren't there or damaged.

        Args:
            training: the task that it is fitted to.
            test: the task of the episodes.
            name: of the baseline.
            seeds: of the episodes.
            drawn: seed of what the baseline draws.
        """
        if self.renew:
            return None
        try:
            rows = self._rows(self._path(training, test, name, drawn))
            results = [EpisodeResult.from_dict(row) for row in rows[: len(seeds)]]
        except (ValueError, TypeError):  # of another form: measured again
            return None
        return results if [result.episode_seed for result in results] == list(seeds) else None

    def put(
        self, training: AudioGoalTask, test: AudioGoalTask, name: str, results: Sequence[EpisodeResult], drawn: int = 0
    ) -> None:
        """Keep results: of an evaluation's first episodes, so that shorter ones find theirs in them. See `get`.

        What is kept of more episodes already, and begins alike, stays.
        """
        path = self._path(training, test, name, drawn)
        if self._rows(path)[: len(results)] == [result.as_dict() for result in results]:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps([result.as_dict() for result in results]).encode(), mode=None, durable=False)

    @staticmethod
    def _rows(path: Path) -> list[Any]:
        """Return what is kept in a file; nothing where it is absent, cut short or of another form."""
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return rows if isinstance(rows, list) else []

    def _path(self, training: AudioGoalTask, test: AudioGoalTask, name: str, drawn: int) -> Path:
        parts = [self._code, name, str(drawn)]
        for task in (training, test):
            array = task.microphone_array().model_dump_json()
            parts += [task.model_dump_json(), self._scene_digest(task), array, response_digest(task)]
            parts.append(sounds_digest(task))
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]
        return self.folder / f"{test.name}-{test.sounds.split}-{name}-{digest}.json"

    def _scene_digest(self, task: AudioGoalTask) -> str:
        """Say what a task's first scene holds: a file, a preset or a source of one's own may change under its name.

        Each is loaded once.
        """
        said = task.scenes.model_dump_json()
        if said not in self._scenes:
            self._scenes[said] = load_scene(task.scenes, 0).digest()
        return self._scenes[said]


def code_digest() -> str:
    """SHA-256 over the code that baselines run, and the versions and the kind of machine that their bits depend on."""
    policies = Path(__file__).parent
    files = [policies / f"{name}.py" for name in _OF_POLICIES]
    for root in (Path(configs_base.__file__).parent, policies.parent / "envs"):
        files += [file for file in root.rglob("*.py") if not {"truth", "bench"} & set(file.relative_to(root).parts)]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    versions = __version__, np.__version__, scipy.__version__, numba.__version__, torch.__version__
    digest.update(" ".join([*versions, platform.machine(), platform.processor()]).encode())
    return digest.hexdigest()


def response_digest(task: AudioGoalTask) -> str:
    """SHA-256 over the file of measured responses that a task's array names, empty without one."""
    directivity = task.microphone_array().directivity
    if not isinstance(directivity, (SofaFile, MeasuredFile)):
        return ""
    return hashlib.sha256(Path(directivity.path).read_bytes()).hexdigest()


def sounds_digest(task: AudioGoalTask) -> str:
    """SHA-256 over a task's folder of recordings, empty without one."""
    if task.sounds.folder is None:
        return ""
    digest = hashlib.sha256()
    for file in sorted(file for file in Path(task.sounds.folder).iterdir() if file.is_file()):
        digest.update(os.fsencode(file.name) + b"\0" + file.read_bytes())
    return digest.hexdigest()
