"""What the manuals of robot and replay show is true of the code."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
import yaml

from phonotaxis.configs.compatibility import mismatches
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.devices import CameraPipeline, HardwareDevices
from phonotaxis.configs.robot import load_robot
from phonotaxis.configs.trained import trainings
from phonotaxis.export.bundle import Bundle, read_bundle
from phonotaxis.export.for_robot import beyond_training, contract_for, met_in
from phonotaxis.export.shipped import shipped_policy


@pytest.fixture
def bundle() -> Bundle:
    path = shipped_policy()
    if path is None:
        pytest.skip("this version ships no policy")
    return read_bundle(path)


@pytest.fixture
def shipped(bundle: Bundle) -> Contract:
    return bundle.contract


def example(page: Path) -> str:
    (text,) = re.findall(r"^    name: rover\n(?:    .*\n)+", page.read_text(), re.MULTILINE)
    return textwrap.dedent(text)


def test_the_robot_of_the_manual_carries_the_shipped_policy_written_for_it(
    repository: Path, bundle: Bundle, tmp_path: Path
) -> None:
    page = repository / "deploy/jetson/README.md"
    text = example(page)
    (tmp_path / "rover.yaml").write_text(text)
    robot = load_robot(str(tmp_path / "rover.yaml"))
    met = met_in(trainings(bundle.provenance), bundle.contract)
    contract = contract_for(bundle.contract, robot, met)
    assert mismatches(contract, robot) == []
    assert beyond_training(contract, met) == []
    assert isinstance(robot.devices, HardwareDevices)
    assert robot.devices.camera.v4l2 is not None  # of the pinhole's size, whatever that is
    (pipeline,) = re.findall(r"^    camera: (\{pipeline: .*\})$", page.read_text(), re.MULTILINE)
    size = re.search(r"width=(\d+),height=(\d+)", str(CameraPipeline(**yaml.safe_load(pipeline)).pipeline))
    assert size is not None
    assert tuple(map(int, size.groups())) == (robot.camera.pinhole.width, robot.camera.pinhole.height)


def test_what_the_shipped_policy_needs_is_told_as_it_is(repository: Path, shipped: Contract) -> None:
    told = (repository / "docs/robot.md").read_text().partition("## Which robot a policy runs on")[2]
    told = " ".join(told.partition("\n## ")[0].split())
    view = 2 * 45 if shipped.camera.cx / shipped.camera.fx == shipped.camera.cy / shipped.camera.fy == 1.0 else 0
    wanted = (
        f"`{shipped.array.name}`", f"{shipped.array.positions_m()[0, 2]:g} m", f"{view} x {view} degrees",
        f"{shipped.camera.mount_xyz_m[0]:g} m", f"{shipped.camera.mount_xyz_m[2]:g} m",
        f"{shipped.body.max_v_mps:g} m/s", f"{shipped.body.max_w_radps:.1g} rad/s", f"{shipped.body.radius_m:g} m",
    )  # fmt: skip
    assert [each for each in wanted if each not in told] == []


@pytest.mark.parametrize("document", ["docs/replay.md"])
def test_python_of_the_pages_runs(repository: Path, document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    blocks = re.findall(r"```python\n(.*?)```", (repository / document).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, document, "exec"), {})  # noqa: S102
