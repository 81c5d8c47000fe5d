"""The contract: what a policy sees and says.

One typed description, used by the simulator, the exporter, the robot's runtime and the episode log. It is written
into every bundle; the runtime reads it from there and types nothing twice.

Frames follow REP-103 (x forward, y left, z up, right-handed, metres, radians). Every tensor of a policy has a
leading batch axis; the shapes below leave it out.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Union

import numpy as np
from pydantic import Field, field_validator, model_validator

from phonotaxis.configs.array import MicrophoneArray, Vector3
from phonotaxis.configs.base import Frozen, build
from phonotaxis.configs.front_end import FrontEnd, fill_in
from phonotaxis.configs.vision import MODALITIES, SEMANTIC_CLASSES, Modality, ViewAngles

CONTRACT_VERSION = 1
MAX_BUNDLE_BYTES = 64 * 1024 * 1024  # ours are below 10 MB; beyond this a policy doesn't belong on a robot

AUDIO = "audio"
DEPTH = "depth"
SEMANTIC = "semantic"
COLOR = "color"
DEPTH_AGE_S = "depth_age_s"
MOTION = "motion"
MOTION_VALID = "motion_valid"
GOAL = "goal"
CAUTION = "caution"
EPISODE_START = "episode_start"
STATE_IN = "state_in"

ACTION = "action"
LOGITS = "logits"
MEAN = "mean"
VALUE = "value"
BEARING = "bearing"
DISTANCE = "distance"
STATE_OUT = "state_out"

MOTION_FIELDS = ("dx_m", "dy_m", "dyaw_rad", "v_allowed_mps", "w_allowed_radps", "collision")
BEARING_FIELDS = ("cos", "sin", "concentration")  # of a von Mises distribution over azimuth in the base frame
DISTANCE_FIELDS = ("log_m_mean", "log_m_std")  # of a log-normal distribution over the geodesic distance
INT16_FULL_SCALE = 32768.0
MAX_WINDOW_SAMPLES = 960_000  # ten seconds at the highest rate: what a stranger's file can make anyone allocate
MAX_STATE_DIMENSIONS = 4
MAX_STATE_NUMBERS = 20_000_000  # likewise; the longest overlap of 16 microphones has 15 million


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a policy, without the batch axis."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    unit: str
    meaning: str


class PinholeCamera(Frozen):
    """The camera whose depth image the policy sees. Pixel (u, v) is column, row; centres lie at +0.5.

    Depth is the distance along the optical axis in metres; 0 = unknown (too near, too far, unseen).
    The optical axis points along the base's +x when roll, pitch and yaw are 0; positive pitch looks down.
    """

    width: int = Field(default=64, ge=8, le=1024)
    height: int = Field(default=64, ge=8, le=1024)
    fx: float = Field(default=32.0, gt=0)
    fy: float = Field(default=32.0, gt=0)
    cx: float = 32.0
    cy: float = 32.0
    mount_xyz_m: Vector3 = (0.1, 0.0, 0.5)
    mount_rpy_rad: Vector3 = (0.0, 0.0, 0.0)
    min_range_m: float = Field(default=0.1, ge=0)
    max_range_m: float = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _range(self) -> PinholeCamera:
        if self.max_range_m <= self.min_range_m:
            raise ValueError(f"max_range_m {self.max_range_m} must exceed min_range_m {self.min_range_m}")
        return self


class Body(Frozen):
    """How the robot moved in training. `None` acceleration means setpoints were reached at once."""

    radius_m: float = Field(default=0.18, gt=0, le=2.0)
    height_m: float = Field(default=0.6, gt=0, le=3.0)
    max_v_mps: float = Field(default=1.0, gt=0, le=5.0)
    max_w_radps: float = Field(default=0.6981317007977318, gt=0, le=10.0)
    max_acceleration_mps2: float | None = Field(default=None, gt=0)
    max_angular_acceleration_radps2: float | None = Field(default=None, gt=0)
    latency_s: float = Field(default=0.0, ge=0.0, le=2.0)


class DiscreteActions(Frozen):
    """stop, forward, left, right: each a velocity setpoint held for one control period. 0 ends the goal."""

    kind: Literal["discrete"] = "discrete"
    names: tuple[str, ...] = ("stop", "forward", "left", "right")
    setpoints: tuple[tuple[float, float], ...]  # (v m/s, w rad/s), one per name

    @model_validator(mode="after")
    def _stop_first(self) -> DiscreteActions:
        if len(self.names) != len(self.setpoints) or len(self.names) < 2:
            raise ValueError(f"{len(self.names)} names for {len(self.setpoints)} setpoints")
        if self.names[0] != "stop" or self.setpoints[0] != (0.0, 0.0):
            raise ValueError("the first action must be 'stop' with setpoint (0, 0)")
        return self


class ContinuousActions(Frozen):
    """Box[-1, 1]^3: v and w as fractions of the body's limits, stop where the third exceeds 0."""

    kind: Literal["continuous"] = "continuous"


Actions = Annotated[Union[DiscreteActions, ContinuousActions], Field(discriminator="kind")]  # noqa: UP007


class GoalSpec(Frozen):
    """A goal that is named to the policy by an embedding."""

    size: int = Field(ge=1, le=4096)
    embedding: str = Field(min_length=1)


class Contract(Frozen):
    """Everything simulator, exporter, runtime and log must agree on.

    `modalities` are the images there are: depth always, `semantic` and `color` where a task asks for them. The
    contract of a policy lists those that it reads. `caution` is of policies alone: a person's knob. `view_deg` are the
    horizontal and vertical angle, about the image's centre, within which training showed something: a robot's camera
    has to see no more. None is the whole image.

    Where `window_samples` exceeds `hop_samples`, windows overlap. An observation holds the whole window; the exported
    graph takes only the new samples and keeps the overlap at the end of its recurrent state. An episode begins in
    silence: in its first window zeros precede the first hop, whatever sounded before.
    """

    version: Literal[1] = 1  # CONTRACT_VERSION
    task: str = Field(min_length=1)
    sample_rate_hz: int = Field(default=16000, ge=8000, le=96000)
    hop_samples: int = Field(default=4000, ge=80, le=MAX_WINDOW_SAMPLES)
    window_samples: int = Field(default=4000, ge=80, le=MAX_WINDOW_SAMPLES)
    array: MicrophoneArray
    camera: PinholeCamera = PinholeCamera()
    view_deg: ViewAngles | None = None
    modalities: tuple[Modality, ...] = ("depth",)
    body: Body = Body()
    actions: Actions
    goal: GoalSpec | None = None
    caution: bool = False
    motion_source: Literal["wheel", "external", "commanded"] = "wheel"
    state_shape: tuple[int, ...] = ()
    front_end: FrontEnd = FrontEnd()

    @field_validator("modalities")
    @classmethod
    def _depth_always(cls, value: tuple[Modality, ...]) -> tuple[Modality, ...]:
        return ordered_modalities(value)

    @field_validator("state_shape")
    @classmethod
    def _bounded(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) > MAX_STATE_DIMENSIONS or min(value, default=1) < 1 or math.prod(value) > MAX_STATE_NUMBERS:
            raise ValueError(
                f"expected at most {MAX_STATE_DIMENSIONS} sizes of 1 or more, {MAX_STATE_NUMBERS} numbers in all"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        if self.window_samples < self.hop_samples:
            raise ValueError(f"window_samples {self.window_samples} must be at least hop_samples {self.hop_samples}")
        if self.front_end.high_hz > self.sample_rate_hz / 2:
            raise ValueError(f"front_end.high_hz {self.front_end.high_hz} exceeds half the sample rate")
        if self.front_end.n_fft > self.window_samples:
            raise ValueError(f"front_end.n_fft {self.front_end.n_fft} exceeds window_samples {self.window_samples}")
        spec = self.front_end
        bins, needed = spec.bins(self.sample_rate_hz), max(2, spec.direction_bands)
        if bins < needed:
            raise ValueError(
                f"front_end: {bins} bins lie between {spec.low_hz} and {spec.high_hz} Hz, {needed} are needed (two, "
                "and one for each of direction_bands): widen the bounds, raise n_fft, or ask for fewer bands"
            )
        return self

    @property
    def control_period_s(self) -> float:
        """Seconds a step lasts: one hop of audio."""
        return self.hop_samples / self.sample_rate_hz

    @property
    def control_period_ns(self) -> int:
        """Nanoseconds a step lasts."""
        return self.hop_samples * 1_000_000_000 // self.sample_rate_hz

    @property
    def overlap_samples(self) -> int:
        """Samples of a window that the window before held too."""
        return self.window_samples - self.hop_samples

    @property
    def num_actions(self) -> int:
        """Number of discrete actions, or of continuous action dimensions."""
        return len(self.actions.names) if isinstance(self.actions, DiscreteActions) else 3

    def setpoint(self, action: np.ndarray | int) -> tuple[float, float, bool]:
        """Read one action as a velocity setpoint.

        Args:
            action: an index (discrete) or float [3] (continuous).

        Returns:
            v in m/s, w in rad/s, and whether the action stops, that is, ends the goal.
        """
        if isinstance(self.actions, DiscreteActions):
            index = int(np.asarray(action).reshape(()))
            v, w = self.actions.setpoints[index]
            return v, w, index == 0
        values = np.clip(np.asarray(action, dtype=np.float64).reshape(3), -1.0, 1.0)
        if values[2] > 0.0:
            return 0.0, 0.0, True
        return float(values[0] * self.body.max_v_mps), float(values[1] * self.body.max_w_radps), False

    def observations(self) -> tuple[TensorSpec, ...]:
        """List what the policy sees each step, in order; the recurrent state is not among them."""
        inf = float("inf")
        camera = self.camera
        specs = [
            TensorSpec(AUDIO, (self.array.mics, self.window_samples), "float32", -1.0, 1.0, "full scale",
                       "waveform at the converter, quantised to 16 bit; the window ends now"),
            TensorSpec(DEPTH, (camera.height, camera.width), "float32", 0.0, camera.max_range_m, "m",
                       "depth along the optical axis; 0 = unknown"),
            *self._other_images(),
            TensorSpec(DEPTH_AGE_S, (1,), "float32", 0.0, inf, "s", "age of the frame when the step is due"),
            TensorSpec(MOTION, (6,), "float32", -inf, inf, "m, m, rad, m/s, rad/s, flag",
                       "odometry since the last step, velocities that safety let through, collision"),
            TensorSpec(MOTION_VALID, (1,), "float32", 0.0, 1.0, "flag", "0 where the robot has no odometry"),
        ]  # fmt: skip
        if self.goal is not None:
            specs.append(TensorSpec(GOAL, (self.goal.size,), "float32", -inf, inf, "", "embedding of what to find"))
        if self.caution:
            specs.append(TensorSpec(CAUTION, (1,), "float32", 0.0, 1.0, "", "how much comfort counts; 0 = not at all"))
        specs.append(TensorSpec(EPISODE_START, (1,), "float32", 0.0, 1.0, "flag", "1 resets the memory"))
        return tuple(specs)

    def _other_images(self) -> list[TensorSpec]:
        size = self.camera.height, self.camera.width
        classes = ", ".join(f"{index} {name}" for index, name in enumerate(SEMANTIC_CLASSES))
        specs = {
            SEMANTIC: TensorSpec(SEMANTIC, size, "uint8", 0.0, 255.0, "class", classes),
            COLOR: TensorSpec(COLOR, (*size, 3), "uint8", 0.0, 255.0, "RGB", "colour of what is seen; black = unknown"),
        }
        return [specs[name] for name in self.modalities if name in specs]

    def inputs(self) -> tuple[TensorSpec, ...]:
        """List the inputs of the exported graph, in order: the observations, then the recurrent state.

        They are those of `observations` but for `audio`, [mics, hop_samples]: what is new in the window.
        """
        audio, *others = self.observations()
        new = replace(audio, shape=(self.array.mics, self.hop_samples))
        state = TensorSpec(STATE_IN, self.state_shape, "float32", -np.inf, np.inf, "", "recurrent state")
        return (new, *others, state)

    def seen(self, shown: Mapping[str, np.ndarray], rows: np.ndarray, caution: float = 0.0) -> dict[str, np.ndarray]:
        """Return what the policy sees of what is shown to it, in the simulator.

        Args:
            shown: arrays [worlds, *shape], by the names of `observations`; others are passed over.
            rows: which of the worlds, int [n].
            caution: where the knob stands, for a policy that has one.

        Returns:
            Arrays [n, *shape] of `observations`, those that are shown; where no goal is named, it reads as zeros.
        """
        seen = {}
        for spec in self.observations():
            if spec.name in shown:
                seen[spec.name] = shown[spec.name][rows]
            elif spec.name == GOAL:
                seen[GOAL] = np.zeros((len(rows), *spec.shape), dtype=spec.dtype)
            elif spec.name == CAUTION:
                seen[CAUTION] = np.full((len(rows), *spec.shape), caution, dtype=spec.dtype)
        return seen

    def feed(self, observation: Mapping[str, np.ndarray], state: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the exported graph is given in a step.

        Args:
            observation: arrays [batch, *shape] of `observations`.
            state: float32 [batch, *state_shape], what the graph returned in the step before; zeros at first.

        Returns:
            Arrays [batch, *shape] of `inputs`; views where nothing changes.
        """
        return {**observation, AUDIO: observation[AUDIO][..., self.overlap_samples :], STATE_IN: state}

    def outputs(self) -> tuple[TensorSpec, ...]:
        """List the outputs of the exported graph, in order."""
        inf = float("inf")
        if isinstance(self.actions, DiscreteActions):
            heads = [
                TensorSpec(ACTION, (), "int64", 0, self.num_actions - 1, "index", "argmax; ties: lowest index"),
                TensorSpec(LOGITS, (self.num_actions,), "float32", -inf, inf, "", "what the action was taken from"),
            ]
        else:
            heads = [
                TensorSpec(ACTION, (3,), "float32", -1.0, 1.0, "v, w, stop", "the mean, clipped"),
                TensorSpec(MEAN, (3,), "float32", -inf, inf, "", "what the action was taken from"),
            ]
        return (
            *heads,
            TensorSpec(VALUE, (1,), "float32", -inf, inf, "return", "the critic's estimate"),
            TensorSpec(BEARING, (3,), "float32", -inf, inf, ", ".join(BEARING_FIELDS),
                       "where the source lies: azimuth in the base frame, at the end of the window"),
            TensorSpec(DISTANCE, (2,), "float32", -inf, inf, ", ".join(DISTANCE_FIELDS),
                       "geodesic distance to the source"),
            TensorSpec(STATE_OUT, self.state_shape, "float32", -inf, inf, "", "recurrent state"),
        )  # fmt: skip

    def to_json(self) -> str:
        """Return the canonical JSON text: sorted keys, no white space, the same bytes for equal contracts."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, where: str = "contract") -> Contract:
        """Read `to_json`'s text, also that of earlier versions' contracts of the same number.

        Raises:
            ConfigError: not JSON, or not a contract of this version.
        """
        from phonotaxis.configs.base import ConfigError

        try:
            data = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ConfigError(f"{where}: the contract is not JSON ({error})") from None
        if isinstance(data, dict) and data.get("version") != CONTRACT_VERSION:
            raise ConfigError(
                f"{where}: contract version {data.get('version')!r}, this phonotaxis reads {CONTRACT_VERSION}; "
                "export the policy again with this version"
            )
        fill_in(data)
        return build(cls, data, where)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def ordered_modalities(modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
    """Put images into the order of `MODALITIES`.

    Raises:
        ValueError: one is named twice, or depth isn't among them.
    """
    if "depth" not in modalities or len(set(modalities)) < len(modalities):
        raise ValueError(f"modalities must name depth, and each once, of {', '.join(MODALITIES)}")
    return tuple(name for name in MODALITIES if name in modalities)


def audio_from_int16(samples: np.ndarray) -> np.ndarray:
    """Convert converter codes to what the policy sees.

    Args:
        samples: int16 [..., samples].

    Returns:
        float32 [..., samples], full scale ±1; exact, since 1/32768 is a power of two.
    """
    if samples.dtype != np.int16:
        raise ValueError(f"expected int16 samples, got {samples.dtype}")
    return samples.astype(np.float32) * np.float32(1.0 / INT16_FULL_SCALE)


def discrete_actions(step_m: float, turn_rad: float, period_s: float) -> DiscreteActions:
    """Return stop, forward, left and right as setpoints that cover a step or a turn in one period."""
    v, w = step_m / period_s, turn_rad / period_s
    return DiscreteActions(setpoints=((0.0, 0.0), (v, 0.0), (0.0, w), (0.0, -w)))
