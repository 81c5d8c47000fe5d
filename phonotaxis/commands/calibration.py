"""Ranges of activations from logged episodes, for `phonotaxis export --calibrate`.

It stands here because `export` doesn't reach for `deploy`, which reads episodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.compatibility import check_compatible
from phonotaxis.configs.contract_parts import differing
from phonotaxis.deploy.episode_reader import Episode, read_episode
from phonotaxis.deploy.replay_feed import replayed
from phonotaxis.export.bundle import Bundle
from phonotaxis.export.calibrate import Calibration

SUFFIX = ".mcap"


def calibration_of(bundle: Bundle, paths: Sequence[Path]) -> Calibration:
    """Run a policy over what robots heard and saw, and measure its activations.

    Args:
        bundle: of full precision.
        paths: episodes, or folders of them; whichever policy ran there, on a robot that this one could run.

    Raises:
        ConfigError: a folder holds no episode, or one comes from a robot that the policy doesn't fit.
        EpisodeError: a file can't be read or used.
        BundleError: nothing in them can be recomputed.
    """
    calibration = Calibration(bundle, 1)
    for path in _files(paths):
        episode = read_episode(path, join=False)
        _check_fits(bundle, episode)
        calibration.forget()
        for step in replayed(episode, bundle.contract):
            if step.due is not None:
                calibration.add({name: value[None] for name, value in step.observation.items()}, np.array([0]))
    calibration.ranges()  # an error in words where there was nothing
    return calibration


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not inside:
            raise ConfigError(f"--calibrate {path}: no episode ({SUFFIX}) in this folder; record some with `run`")
        found += inside
    return list(dict.fromkeys(found))


def _check_fits(bundle: Bundle, episode: Episode) -> None:
    where = f"--calibrate {episode.path}:"
    try:
        check_compatible(bundle.contract, episode.info.robot)
    except ConfigError as error:
        raise ConfigError(f"{where} {error}") from None
    odd = differing(bundle.contract, episode.info.contract, ("hop_samples", "window_samples", "goal"))
    if odd:
        raise ConfigError(f"{where} another {' and '.join(odd)} than the policy's; leave this episode out")
