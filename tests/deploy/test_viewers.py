"""Foxglove opens an episode as it is: every message decodes by the schema that stands in the file itself."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import foxglove.messages
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, unknown_fields
from mcap.reader import make_reader

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.geometry import base_from_camera
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.viewer_messages import quaternion

NAMES = {
    "/audio": "RawAudio", "/depth": "RawImage", "/pose": "PoseInFrame", "/tf": "FrameTransforms",
    "/camera": "CameraCalibration",
}  # fmt: skip
KINDS: dict[str, Any] = {
    "number": (int, float), "integer": int, "string": str, "boolean": bool, "object": dict, "array": list,
}  # fmt: skip


@pytest.fixture(scope="module")
def read(repository: Path) -> dict[str, tuple[Any, list[Any]]]:
    """Read the robot's golden episode with the mcap library alone: schema and messages of each topic."""
    found: dict[str, tuple[Any, list[Any]]] = {}
    with (repository / "tests/golden/robot.mcap").open("rb") as file:
        for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            found.setdefault(channel.topic, (schema, []))[1].append(message)
    return found


def decoder(schema: Any) -> Any:
    """Return the message class that a schema's own descriptors define."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(schema.data).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name))


def test_well_known_topics_have_foxgloves_own_schemas_and_decode_by_them(read: Any) -> None:
    for topic, name in NAMES.items():
        schema, messages = read[topic]
        assert (schema.name, schema.encoding) == (f"foxglove.{name}", "protobuf")
        assert schema.data == getattr(foxglove.messages, name).get_schema().data
        kind = decoder(schema)
        for message in messages:
            decoded = kind.FromString(message.data)
            assert decoded.ByteSize() == len(message.data)
            assert len(unknown_fields.UnknownFieldSet(decoded)) == 0


def test_sound_and_depth_read_as_what_our_own_reader_reads(read: Any, repository: Path) -> None:
    episode = read_episode(repository / "tests/golden/robot.mcap")
    audio = decoder(read["/audio"][0])
    for message, block in zip(read["/audio"][1], episode.audio(), strict=True):
        decoded = audio.FromString(message.data)
        assert (decoded.format, decoded.sample_rate) == ("pcm-s16", 16000)
        samples = np.frombuffer(decoded.data, "<i2").reshape(-1, decoded.number_of_channels).T
        assert np.array_equal(samples, block.samples)
    depth = decoder(read["/depth"][0])
    for message, frame in zip(read["/depth"][1], episode.depth(), strict=True):
        decoded = depth.FromString(message.data)
        assert (decoded.encoding, decoded.frame_id, decoded.step) == ("32FC1", "camera_optical", 4 * decoded.width)
        assert np.array_equal(np.frombuffer(decoded.data, "<f4").reshape(frame.depth_m.shape), frame.depth_m)


def test_json_topics_hold_what_their_schemas_say(read: Any) -> None:
    json_topics = [topic for topic, (schema, _) in read.items() if schema.encoding == "jsonschema"]
    assert sorted(json_topics) == ["/health", "/odometry", "/safety", "/step"]
    for topic in json_topics:
        schema, messages = read[topic]
        described = json.loads(schema.data)
        assert described["title"] == schema.name
        for message in messages:
            fields = json.loads(message.data)
            for name, kind in described["properties"].items():
                if name in fields:
                    assert isinstance(fields[name], KINDS[kind["type"]]), (topic, name)
    health = read["/health"]
    assert health[0].name == "foxglove.Log"  # Foxglove's log panel takes these
    for message in health[1]:
        fields = json.loads(message.data)
        assert set(fields) >= {"timestamp", "level", "message", "name", "file", "line"}
        assert set(fields["timestamp"]) == {"sec", "nsec"}
        assert 1 <= fields["level"] <= 4


def test_the_frames_chain_from_the_world_to_the_camera(read: Any, repository: Path) -> None:
    robot = read_episode(repository / "tests/golden/robot.mcap").info.robot
    last = decoder(read["/tf"][0]).FromString(read["/tf"][1][-1].data)
    chain = [(frame.parent_frame_id, frame.child_frame_id) for frame in last.transforms]
    assert chain == [("odom", "base_link"), ("base_link", "camera_optical")]
    mount = last.transforms[1]
    assert [mount.translation.x, mount.translation.y, mount.translation.z] == pytest.approx(
        list(robot.camera.pinhole.mount_xyz_m)
    )
    calibration = decoder(read["/camera"][0]).FromString(read["/camera"][1][0].data)
    assert (calibration.frame_id, calibration.width) == ("camera_optical", robot.camera.pinhole.width)
    assert calibration.K[0] == robot.camera.pinhole.fx
    pose = decoder(read["/pose"][0]).FromString(read["/pose"][1][-1].data).pose
    base = last.transforms[0]
    assert (base.translation.x, base.rotation.z) == (pose.position.x, pose.orientation.z)


@pytest.mark.parametrize("pitch", [-1.5, 0.0, 0.3, 1.5])
@pytest.mark.parametrize("yaw", [-3.1, 0.0, 2.0])
def test_quaternions_turn_as_their_matrices(pitch: float, yaw: float) -> None:
    rotation = base_from_camera(PinholeCamera(mount_rpy_rad=(0.1, pitch, yaw)))[:3, :3]
    x, y, z, w = quaternion(rotation.tolist())
    assert math.hypot(x, y, z, w) == pytest.approx(1.0)
    again = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    np.testing.assert_allclose(again, rotation, atol=1e-12)
