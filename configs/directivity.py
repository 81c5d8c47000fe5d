"""How a microphone's surroundings shape what it hears, by the direction that sound comes from.

Each kind below is a block of an array's YAML, told apart by `kind`. What the simulator makes of them stands in
`phonotaxis.envs.acoustics.directivity`; the robot reads none of it, its microphones being what they are.
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

import numpy as np
from pydantic import Field, field_validator

from phonotaxis.configs.base import Frozen

Vector3 = tuple[float, float, float]


class Omnidirectional(Frozen):
    """Microphones in the free field: nothing but their places tells directions apart."""

    kind: Literal["omnidirectional"] = "omnidirectional"


class RigidSphere(Frozen):
    """Microphones on the surface of a rigid sphere, the plainest model of a head (Duda and Martens 1998).

    Attributes:
        radius_m: of the sphere; the microphones must lie on it, to 1 mm.
        centre_m: in the robot's base frame; the mean of the microphones where left out.
    """

    kind: Literal["rigid_sphere"] = "rigid_sphere"
    radius_m: float = Field(gt=0.0, le=0.5)
    centre_m: Vector3 | None = None


class Plate(Frozen):
    """Microphones on or over a round plate, such as the top of a robot or a circuit board.

    A first-order model: on the plate's side of `normal` a reflection is added, behind it a shadow falls, both of
    which fade where the plate is small beside the wavelength.

    Attributes:
        radius_m: of the plate, which is centred under each microphone.
        height_m: of the microphones over the plate; 0 is flush.
        normal: towards the side the microphones are on, base frame; of any length.
        reflection: pressure reflected by a large plate, 0 (none) to 1 (rigid).
    """

    kind: Literal["plate"] = "plate"
    radius_m: float = Field(gt=0.0, le=2.0)
    height_m: float = Field(default=0.0, ge=0.0, le=0.2)
    normal: Vector3 = (0.0, 0.0, 1.0)
    reflection: float = Field(default=1.0, ge=0.0, le=1.0)

    @field_validator("normal")
    @classmethod
    def _points_somewhere(cls, normal: Vector3) -> Vector3:
        return _direction(normal)


class FirstOrderPattern(Frozen):
    """A pattern of first order: `pressure + velocity * cos(angle between the sound's direction and the axis)`.

    Omnidirectional is (1, 0), cardioid (0.5, 0.5), hypercardioid (0.25, 0.75), figure of eight (0, 1).
    """

    pressure: float = Field(ge=-4.0, le=4.0)
    velocity: float = Field(default=0.0, ge=-4.0, le=4.0)
    axis: Vector3 = (1.0, 0.0, 0.0)

    @field_validator("axis")
    @classmethod
    def _points_somewhere(cls, axis: Vector3) -> Vector3:
        return _direction(axis)


class Ambisonic(Frozen):
    """A pattern of first order for each microphone: ambisonic components, cardioids, figures of eight."""

    kind: Literal["ambisonic"] = "ambisonic"
    patterns: tuple[FirstOrderPattern, ...] = Field(min_length=1, max_length=16)


class _FromFile(Frozen):
    """Responses measured elsewhere.

    Attributes:
        path: of the file; a relative one is looked for from the folder that the program runs in.
        common_delay_s: the time in the file at which a sound arrives that would pass the array's centre (the mean of
            its microphones) in the free field; estimated from the responses where left out.
    """

    path: str = Field(min_length=1)
    common_delay_s: float | None = Field(default=None, ge=0.0, le=1.0)


class SofaFile(_FromFile):
    """Responses in a SOFA file (AES69-2022, convention SimpleFreeFieldHRIR); needs the extra `sofa`."""

    kind: Literal["sofa"] = "sofa"


class MeasuredFile(_FromFile):
    """Responses in an .npz file of numpy.

    It holds `response` [directions, mics, taps], `direction` [directions, 3] (towards the sound, base frame, any
    length) and `sample_rate_hz`.
    """

    kind: Literal["measured"] = "measured"


Directivity = Annotated[
    Union[Omnidirectional, RigidSphere, Plate, Ambisonic, SofaFile, MeasuredFile],  # noqa: UP007 (pydantic on 3.10)
    Field(discriminator="kind"),
]


def check_fits(directivity: Directivity, mic_xyz_m: tuple[Vector3, ...]) -> None:
    """Refuse a directivity that can't be that of microphones at these places.

    Raises:
        ValueError: as many patterns as microphones are needed; microphones on a sphere must lie on it.
    """
    if isinstance(directivity, Ambisonic) and len(directivity.patterns) != len(mic_xyz_m):
        raise ValueError(
            f"directivity.patterns has {len(directivity.patterns)} entries for {len(mic_xyz_m)} microphones"
        )
    if isinstance(directivity, RigidSphere):
        positions_m = np.asarray(mic_xyz_m)
        away_m = np.sqrt(((positions_m - sphere_centre_m(directivity, positions_m)) ** 2).sum(axis=1))
        worst = int(np.abs(away_m - directivity.radius_m).argmax())
        if abs(away_m[worst] - directivity.radius_m) > 1e-3:
            raise ValueError(
                f"microphone {worst} lies {away_m[worst]:.4f} m from the centre of a sphere whose "
                f"directivity.radius_m is {directivity.radius_m:g}; give directivity.centre_m or move the microphone"
            )


def sphere_centre_m(sphere: RigidSphere, positions_m: np.ndarray) -> np.ndarray:
    """Return the sphere's centre in the base frame, float64 [3], for microphones at float64 [mics, 3], metres."""
    return positions_m.mean(axis=0) if sphere.centre_m is None else np.asarray(sphere.centre_m, dtype=np.float64)


def _direction(vector: Vector3) -> Vector3:
    length = float(np.sqrt(sum(part * part for part in vector)))
    if length < 1e-6:
        raise ValueError("must point somewhere: a vector of any length but 0")
    if abs(length - 1.0) > 1e-9:  # what was of unit length stays as it is to the last bit
        x, y, z = vector
        return x / length, y / length, z / length
    return vector
