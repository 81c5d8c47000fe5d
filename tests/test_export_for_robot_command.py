"""`phonotaxis export --robot`: a training, or a bundle, is written for another robot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from phonotaxis import cli
from phonotaxis.configs.compatibility import mismatches
from phonotaxis.configs.robot import load_robot
from phonotaxis.configs.suite import load_suite
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.export.bundle import read_bundle
from phonotaxis.policies.checkpoint import Checkpoint, save_checkpoint
from phonotaxis.policies.policy import Policy

TINY = PolicyConfig(
    memory_size=8, audio_hidden=8, audio_size=8, motion_size=8, depth_size=8, depth_channels=(2, 2), head_hidden=8
)
ROVER = """
name: rover
array: respeaker_6mic
camera: {pinhole: {width: 424, height: 240, fx: 223, fy: 216, cx: 212, cy: 120, mount_xyz_m: [0.1, 0, 0.5]}}
drive: {max_v_mps: 0.2, max_w_radps: 0.5, max_acceleration_mps2: 0.6, latency_s: 0.1}
"""


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    task = load_suite("audiogoal-robot-v1").task_of("train")
    torch.manual_seed(0)
    policy = Policy(task.contract(), TINY)
    for weight in policy.parameters():  # as after training: the exporter drops factors of one
        torch.nn.init.normal_(weight, std=0.1)
    config = {"task": task.model_dump(mode="json")}
    save_checkpoint(
        tmp_path / "run", Checkpoint(policy.contract, policy.config, {"policy": policy.state_dict()}, config)
    )
    return tmp_path / "run"


def test_a_training_and_its_bundle_are_written_for_a_robot(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    robot, own = tmp_path / "rover.yaml", tmp_path / "own.onnx"
    robot.write_text(ROVER)
    assert cli.run(["export", str(trained), "-o", str(own)]) == 0
    assert mismatches(read_bundle(own).contract, load_robot(robot))
    capsys.readouterr()
    for source in (trained, own):
        out = tmp_path / f"{source.stem}-rover.onnx"
        assert cli.run(["export", str(source), "--robot", str(robot), "-o", str(out), "--json"]) == 0
        shown = capsys.readouterr()
        assert json.loads(shown.out)["figures"]["bundle"]["value"] == str(out)
        assert "training met the array(s) respeaker_usb_v2, not respeaker_6mic" in shown.err
        assert "a step is 0.05 m; training met 0.075 to 0.075 m" in shown.err
        bundle = read_bundle(out)
        assert mismatches(bundle.contract, load_robot(robot)) == []
        assert bundle.provenance["robot"] == "rover"
        assert bundle.contract.array.mics == 6


def test_a_bundle_that_is_written_and_signed_is_told_in_one_object(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], make_key: Callable[[Path], Path]
) -> None:
    out, key = tmp_path / "own.onnx", make_key(tmp_path / "key.pem")
    assert cli.run(["export", str(trained), "-o", str(out), "--sign", str(key), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["bundle"]["value"] == str(out)
    assert figures["signature"]["value"] == f"{out}.sig"
    assert read_bundle(out, [figures["signer"]["value"]]).contract.array.mics == 4  # refused, were it not signed


def test_what_no_constant_can_mend_is_said(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    robot, out = tmp_path / "rover.yaml", tmp_path / "out.onnx"
    robot.write_text(ROVER.replace("[0.1, 0, 0.5]", "[0.1, 0, 0.2]") + "radius_m: 0.4\n")
    assert cli.run(["export", str(trained), "--robot", str(robot), "-o", str(out)]) == 1
    err = capsys.readouterr().err
    assert "of the policy's view" in err
    assert "body: trained with a radius" in err
    assert not out.exists()
