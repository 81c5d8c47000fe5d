"""The topics of an episode: what each message holds, exactly, and how a viewer reads it.

Audio, depth, pose, frames and the camera's projection are Foxglove's well-known protobuf messages, so Foxglove
opens an episode as it is; the rest is JSON with a JSON schema. Log times and stamps are monotonic nanoseconds (wall
clock stands in the metadata alone); an audio message's sequence number is the index of its first sample modulo
2^32. JSON writes a float64 so that it reads back with the same bits (Python's repr); tensors are base64 of their
little-endian bytes.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from foxglove import messages

from phonotaxis.configs.geometry import base_from_camera
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.clock import NS_PER_S
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample

AUDIO_TOPIC = "/audio"
DEPTH_TOPIC = "/depth"
POSE_TOPIC = "/pose"
TRANSFORM_TOPIC = "/tf"
CALIBRATION_TOPIC = "/camera"
ODOMETRY_TOPIC = "/odometry"
STEP_TOPIC = "/step"
SAFETY_TOPIC = "/safety"
HEALTH_TOPIC = "/health"
MAX_DEPTH_PIXELS = 16_777_216
MOST_MOTION = 1e6  # of one sample, m and rad: no robot's, and far from where sums overflow

_NUMBER, _INTEGER, _TEXT, _FLAG = ({"type": name} for name in ("number", "integer", "string", "boolean"))
_STAMP = {"type": "object", "properties": {"sec": _INTEGER, "nsec": _INTEGER}}
_TENSOR = {"type": "object", "properties": {"dtype": _TEXT, "shape": {"type": "array"}, "base64": _TEXT}}


def _object(title: str, **properties: Any) -> dict[str, Any]:
    return {"title": title, "type": "object", "properties": properties}


JSON_SCHEMAS = {
    ODOMETRY_TOPIC: _object(
        "phonotaxis.Odometry",
        dx_m=_NUMBER, dy_m=_NUMBER, dyaw_rad=_NUMBER, collision=_FLAG, capture_ns=_INTEGER,
    ),
    STEP_TOPIC: _object(
        "phonotaxis.Step",
        step=_INTEGER, due_ns=_INTEGER, end_sample=_INTEGER, observation_sha256=_TEXT,
        outputs={"type": "object", "additionalProperties": _TENSOR},
        action_name=_TEXT, v_mps=_NUMBER, w_radps=_NUMBER, stop=_FLAG,
    ),
    SAFETY_TOPIC: _object(
        "phonotaxis.Safety",
        time_ns=_INTEGER, v_mps=_NUMBER, w_radps=_NUMBER, reason=_TEXT, armed=_FLAG, sequence=_INTEGER,
        trace={"type": "object"},
    ),
    # the fields of Foxglove's own Log come first, so that its log panel shows health events
    HEALTH_TOPIC: _object(
        "foxglove.Log",
        timestamp=_STAMP, level=_INTEGER, message=_TEXT, name=_TEXT, file=_TEXT, line=_INTEGER,
        event=_TEXT, data={"type": "object"},
    ),
}  # fmt: skip
PROTOBUF_SCHEMAS: dict[str, Any] = {
    AUDIO_TOPIC: messages.RawAudio,
    DEPTH_TOPIC: messages.RawImage,
    POSE_TOPIC: messages.PoseInFrame,
    TRANSFORM_TOPIC: messages.FrameTransforms,
    CALIBRATION_TOPIC: messages.CameraCalibration,
}
TOPICS = (*PROTOBUF_SCHEMAS, *JSON_SCHEMAS)
VIEWER_TOPICS = (POSE_TOPIC, TRANSFORM_TOPIC, CALIBRATION_TOPIC)  # nothing is computed from them
LEVELS = {"debug": 1, "info": 2, "warning": 3, "error": 4}  # of foxglove.Log


def _timestamp(time_ns: int) -> messages.Timestamp:
    return messages.Timestamp(time_ns // NS_PER_S, time_ns % NS_PER_S)


def encode_audio(block: AudioBlock, sample_rate_hz: int) -> bytes:
    """Write a block as foxglove.RawAudio: 16-bit PCM of every channel of the device, interleaved."""
    return bytes(
        messages.RawAudio(
            timestamp=_timestamp(block.capture_ns),
            data=np.ascontiguousarray(block.samples.T, dtype="<i2").tobytes(),
            format="pcm-s16",
            sample_rate=sample_rate_hz,
            number_of_channels=len(block.samples),
        ).encode()
    )


def decode_audio(data: bytes, first_sample: int, capture_ns: int) -> AudioBlock:
    """Read `encode_audio`'s bytes; the index and time stand in the message's envelope.

    Raises:
        ValueError: not such a message.
    """
    fields = _fields(data)
    channels, samples = int(fields.get(5, 0)), bytes(fields.get(2, b""))
    if fields.get(3) != b"pcm-s16" or not 1 <= channels <= 64 or len(samples) % (2 * channels):
        raise ValueError(f"not 16-bit audio: {len(samples)} bytes for {channels} channels")
    codes = np.frombuffer(samples, dtype="<i2").astype(np.int16).reshape(-1, channels)
    return AudioBlock(np.ascontiguousarray(codes.T), first_sample, capture_ns)


def encode_depth(frame: DepthFrame) -> bytes:
    """Write a frame as foxglove.RawImage, float32 metres, bit for bit."""
    height, width = frame.depth_m.shape
    return bytes(
        messages.RawImage(
            timestamp=_timestamp(frame.capture_ns),
            frame_id="camera_optical",
            width=width,
            height=height,
            encoding="32FC1",
            step=4 * width,
            data=np.ascontiguousarray(frame.depth_m, dtype="<f4").tobytes(),
        ).encode()
    )


def decode_depth(data: bytes, capture_ns: int) -> DepthFrame:
    """Read `encode_depth`'s bytes; the time stands in the message's envelope.

    Raises:
        ValueError: not such a message.
    """
    fields = _fields(data)
    width, height, pixels = int(fields.get(2, 0)), int(fields.get(3, 0)), bytes(fields.get(6, b""))
    if fields.get(4) != b"32FC1" or width * height > MAX_DEPTH_PIXELS or len(pixels) != 4 * width * height:
        raise ValueError(f"not a float32 depth image: {len(pixels)} bytes for {height} x {width} pixels")
    depth_m = np.frombuffer(pixels, dtype="<f4").astype(np.float32).reshape(height, width)
    return DepthFrame(depth_m, capture_ns)


def encode_json(value: dict[str, Any]) -> bytes:
    """Write JSON that any reader takes; floats read back with the same bits.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def decode_json(data: bytes) -> dict[str, Any]:
    """Read `encode_json`'s bytes.

    Raises:
        ValueError: not a JSON object.
    """
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value


def odometry_dict(sample: OdometrySample) -> dict[str, Any]:
    """Return the fields of an odometry message."""
    return {
        "dx_m": sample.dx_m,
        "dy_m": sample.dy_m,
        "dyaw_rad": sample.dyaw_rad,
        "collision": sample.collision,
        "capture_ns": sample.capture_ns,
    }


def decode_odometry(data: bytes) -> OdometrySample:
    """Read an odometry message.

    Raises:
        ValueError: not such a message (KeyError and TypeError where fields are missing or odd).
    """
    sample = odometry_sample(decode_json(data))
    motion = (sample.dx_m, sample.dy_m, sample.dyaw_rad)
    if not all(abs(part) <= MOST_MOTION for part in motion):  # not a number is refused, too
        raise ValueError(f"a motion of {motion}, metres and radians")
    return sample


def odometry_sample(value: dict[str, Any]) -> OdometrySample:
    """Read the fields of an odometry message; KeyError, TypeError or ValueError where they are missing or odd."""
    dx_m, dy_m, dyaw_rad = (float(value[key]) for key in ("dx_m", "dy_m", "dyaw_rad"))
    return OdometrySample(dx_m, dy_m, dyaw_rad, bool(value["collision"]), int(value["capture_ns"]))


def health_dict(time_ns: int, level: str, event: str, message: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a health event; `level` is one of `LEVELS`."""
    return {
        "timestamp": {"sec": time_ns // NS_PER_S, "nsec": time_ns % NS_PER_S},
        "level": LEVELS[level],
        "message": message,
        "name": "phonotaxis",
        "file": "",
        "line": 0,
        "event": event,
        "data": data,
    }


def encode_tensor(value: np.ndarray) -> dict[str, Any]:
    """Return an array as JSON that keeps its bits: dtype, shape, base64 of little-endian bytes."""
    little = np.asarray(value, dtype=value.dtype.newbyteorder("<"))
    text = base64.b64encode(little.tobytes()).decode()  # tobytes is in C order
    return {"dtype": value.dtype.name, "shape": list(value.shape), "base64": text}


def decode_tensor(value: Any) -> np.ndarray:
    """Read `encode_tensor`'s JSON.

    Raises:
        ValueError: not such a thing, or of a type other than float32 or int64.
    """
    try:
        if value["dtype"] not in ("float32", "int64"):
            raise ValueError(f"a tensor of type {value['dtype']!r}; expected float32 or int64")
        kind = np.dtype(value["dtype"])
        raw = base64.b64decode(value["base64"], validate=True)
        return np.frombuffer(raw, dtype=kind.newbyteorder("<")).astype(kind).reshape(value["shape"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a tensor: {error!r}") from None


def camera_pose(robot: RobotConfig) -> list[list[float]]:
    """Return the camera's optical frame in the base frame, a 4 x 4 matrix in rows, for viewers."""
    rows: list[list[float]] = base_from_camera(robot.camera.pinhole).tolist()
    return rows


def _fields(data: bytes) -> dict[int, Any]:
    """Read the top-level fields of a protobuf message: integers, and bytes where the length is given."""
    fields: dict[int, Any] = {}
    view, at = memoryview(data), 0
    while at < len(view):
        tag, at = _varint(view, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            fields[number], at = _varint(view, at)
            continue
        if kind == 2:
            size, at = _varint(view, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"protobuf wire type {kind} is not in use here")
        if at + size > len(view):
            raise ValueError("a protobuf field runs past the end of its message")
        raw = bytes(view[at : at + size])
        fields[number] = raw if kind == 2 else int.from_bytes(raw, "little")
        at += size
    return fields


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            raise ValueError("a protobuf number runs past the end of its message")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a protobuf number is longer than ten bytes")
