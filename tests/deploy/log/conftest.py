from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phonotaxis.configs.robot import RobotConfig, simulated_robot
from phonotaxis.deploy.episode import EpisodeInfo, EpisodeWriter


@pytest.fixture
def open_writer(toy: Any, tmp_path: Path) -> Iterator[Callable[..., EpisodeWriter]]:
    opened: list[EpisodeWriter] = []

    def make(**log: Any) -> EpisodeWriter:
        contract = toy.contract()
        robot = simulated_robot(contract.array, contract.camera, "none")
        robot = RobotConfig.model_validate({**robot.model_dump(), "log": log})
        info = EpisodeInfo("robot", contract, robot, "0" * 64, {})
        opened.append(EpisodeWriter(tmp_path / "folder" / "episode-20260101T000001Z.mcap", info))
        return opened[-1]

    yield make
    for writer in opened:
        writer.close()
