from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.vision import agreement

pytest.importorskip("embreex", reason="embree has wheels for x86-64 alone on Linux; install phonotaxis[dev] there")


def random_poses(scene: Scene, count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    cells = np.argwhere(scene.walkable())
    chosen = cells[random.integers(len(cells), size=count)] + random.uniform(0.05, 0.95, (count, 2))
    xy = chosen[:, ::-1] * scene.cell_m + scene.origin_m
    return np.column_stack([xy, random.uniform(-np.pi, np.pi, count)])


@pytest.mark.parametrize(
    "camera",
    [
        PinholeCamera(),
        PinholeCamera(width=96, height=40, fx=70.0, fy=30.0, cx=40.0, mount_xyz_m=(0.1, 0.05, 1.1)),
        PinholeCamera(mount_rpy_rad=(0.15, 0.3, -0.5), max_range_m=6.0),
    ],
    ids=["as shipped", "wide", "tilted"],
)
def test_furnished_apartments_look_as_embree_sees_them(camera: PinholeCamera) -> None:
    found = []
    for seed in range(4):
        scene = scenes.load("apartment", seed=seed)
        found.append(agreement.depth_agreement(scene, random_poses(scene, 8, seed), camera))
    assert sum(each.pixels for each in found) >= 100_000
    assert np.mean([each.depth for each in found]) >= 0.999
    assert np.mean([each.semantic for each in found]) >= 0.999


def test_disagreement_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scenes.load("apartment", seed=1)
    poses = random_poses(scene, 2, 0)

    def moved(scene: Scene, camera: PinholeCamera, poses: np.ndarray, modalities: tuple[str, ...]) -> object:
        return look(scene, camera, poses + [0.03, 0.0, 0.0], modalities)

    look = agreement.look
    monkeypatch.setattr(agreement, "look", moved)
    found = agreement.depth_agreement(scene, poses, PinholeCamera())
    assert found.depth < 0.9
    assert 0.5 < found.semantic < 0.9999
