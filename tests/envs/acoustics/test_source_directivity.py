"""Directive sources: their patterns, and what direct sound, images, corners and the late field make of them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.source_directivity import (
    Cardioid,
    Loudspeaker,
    OmnidirectionalSource,
    SourceDirectivity,
    Talker,
)
from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.acoustics.bands import BANDS
from phonotaxis.envs.acoustics.departure import gain_towards
from phonotaxis.envs.acoustics.directivity_models import rigid_sphere_response
from phonotaxis.envs.acoustics.energy_codes import decode
from phonotaxis.envs.acoustics.field import scene_sound, source_field
from phonotaxis.envs.acoustics.source_directivity import ANGLES, beam, gain_table, piston_in_sphere
from phonotaxis.envs.acoustics.tracer import trace_late_field
from phonotaxis.envs.scenes.scene import Scene

RATE_HZ = 16000
DIRECTIVE = (Cardioid(), Cardioid(order=(0.0, 0.2, 0.5, 1.0, 2.0, 4.0)), Talker(), Loudspeaker())
CARDIOID = Cardioid()
Point = tuple[float, float, float]


def gain_of(directivity: SourceDirectivity, cosine: float) -> np.ndarray:
    gain = np.empty(BANDS)
    gain_towards(gain_table(directivity), cosine, gain)
    return gain


@pytest.mark.parametrize("directivity", DIRECTIVE, ids=lambda one: one.kind)
def test_a_pattern_is_one_on_its_axis_and_never_negative(directivity: SourceDirectivity) -> None:
    table = gain_table(directivity)
    assert table.shape == (ANGLES, BANDS)
    np.testing.assert_allclose(gain_of(directivity, 1.0), 1.0, rtol=1e-6)
    assert (table >= 0.0).all()
    assert (gain_of(directivity, -1.0) < 1.0).any()


def test_a_cardioid_of_any_order_is_its_formula() -> None:
    orders = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0)
    for angle_rad in np.linspace(0.0, 2.4, 50):
        expected = (0.5 + 0.5 * math.cos(angle_rad)) ** np.array(orders)
        np.testing.assert_allclose(gain_of(Cardioid(order=orders), math.cos(angle_rad)), expected, atol=0.003)
    assert not gain_table(OmnidirectionalSource()).size


def test_a_talker_is_louder_in_front_the_more_the_higher_the_band() -> None:
    behind_db, beside_db = (20.0 * np.log10(gain_of(Talker(), cosine)) for cosine in (-1.0, 0.0))
    np.testing.assert_allclose(behind_db, [-3.6, -5.1, -5.9, -6.3, -13.1, -18.9], atol=0.01)
    np.testing.assert_allclose(beside_db, [-1.6, -2.3, -1.6, -1.6, -7.0, -6.3], atol=0.01)


def test_a_box_with_a_point_of_a_driver_is_a_sphere_heard_the_other_way() -> None:
    """Reciprocity: what a point on a rigid sphere sends far away is what it hears from there."""
    cosine, frequency_hz = np.cos(np.linspace(0.0, np.pi, 19)), np.array([125.0, 1000.0, 4000.0])
    sent = piston_in_sphere(cosine, frequency_hz, 0.1, 0.0005)
    heard = rigid_sphere_response(cosine, frequency_hz, 0.1)
    # A cap of half a millimetre, not a point.
    np.testing.assert_allclose(np.abs(sent / sent[:1]), np.abs(heard / heard[:1]), rtol=5e-4)


def test_a_box_sends_all_round_what_is_longer_than_itself_and_a_larger_driver_a_narrower_beam() -> None:
    assert 20.0 * np.log10(gain_of(Loudspeaker(radius_m=0.05, driver_radius_m=0.03), -1.0)[0]) > -0.3
    small, large = (gain_of(Loudspeaker(driver_radius_m=m), 0.5)[5] for m in (0.02, 0.1))
    assert large < 0.8 * small


def response(scene: Scene, source: Point, listener: Point, array: MicrophoneArray, **sends: Any) -> np.ndarray:
    """Return the response at one microphone, float64 [taps]."""
    one = array.model_copy(update={"mic_xyz_m": ((0.0, 0.0, 0.5),), "channel_map": (0,)})
    found = impulse_response(scene, source, listener, array=one, length_s=0.1, **sends)[0]
    return found.astype(float)


@pytest.mark.parametrize("away_rad", [0.0, 0.7, -1.6, 3.0])
def test_direct_sound_has_the_gain_of_its_direction(hall: Scene, array: MicrophoneArray, away_rad: float) -> None:
    source, listener = (20.0, 20.0, 6.0), (22.0, 21.0, 6.8)
    heading_rad = math.atan2(1.0, 2.0) + away_rad
    flat = math.hypot(2.0, 1.0)
    cosine = math.cos(away_rad) * flat / math.hypot(flat, 0.8)
    plain = response(hall, source, listener, array)[:250]
    directed = response(hall, source, listener, array, directivity=CARDIOID, heading_rad=heading_rad)[:250]
    np.testing.assert_allclose(directed, gain_of(CARDIOID, cosine)[0] * plain, atol=1e-4 * np.abs(plain).max())


def windows(scene: Scene, array: MicrophoneArray, heading_rad: float | None) -> np.ndarray:
    """Return the peaks of direct sound and of the images at floor, ceiling and the wall at x = 0, [4]."""
    source, listener = (3.0, 20.0, 5.0), (6.0, 20.0, 5.0)
    sends: dict[str, Any] = {} if heading_rad is None else {"directivity": CARDIOID, "heading_rad": heading_rad}
    heard = response(scene, source, listener, array, **sends)
    ways_m = (3.0, math.hypot(3.0, 10.0), math.hypot(3.0, 14.0), 9.0)
    at = [round(way_m / 343.2 * RATE_HZ) for way_m in ways_m]
    return np.array([np.abs(heard[k - 6 : k + 7]).max() for k in at])


def test_images_have_the_gain_of_the_direction_in_which_they_leave(array: MicrophoneArray) -> None:
    """The image at a wall leaves towards the wall; those at floor and ceiling steeply, to either side alike."""
    room = scenes.load("empty_room", size_m=[40.0, 40.0], height_m=12.0, cell_m=0.5)
    room = dataclasses.replace(room, scattering_scale=0.0)  # what floor and ceiling scatter comes in the same moments
    plain = windows(room, array, None)
    ahead, behind = windows(room, array, 0.0) / plain, windows(room, array, math.pi) / plain
    steep = np.array([3.0 / math.hypot(3.0, 10.0), 3.0 / math.hypot(3.0, 14.0)])
    np.testing.assert_allclose(ahead, [1.0, *(0.5 + 0.5 * steep), 0.0], atol=0.03)
    np.testing.assert_allclose(behind, [0.0, *(0.5 - 0.5 * steep), 1.0], atol=0.03)


def test_round_a_corner_goes_what_leaves_towards_it(two_rooms: Scene, array: MicrophoneArray) -> None:
    """The source stands 6 m behind a door at y = 1 to 1.9; its first corner lies to the south-west."""
    source, listener = (7.0, 4.0, 1.2), (2.5, 4.5, 1.2)
    # Over the corner of the door that is nearer to both: out to (5.05, 1.9).
    to_corner = math.atan2(1.9 - 4.0, 5.05 - 7.0)
    arrives = round((math.hypot(1.95, 2.1) + math.hypot(2.55, 2.6)) / 343.2 * RATE_HZ)

    def first(**sends: Any) -> float:
        return float(np.abs(response(two_rooms, source, listener, array, **sends)[arrives - 8 : arrives + 9]).max())

    plain = first()
    assert first(directivity=Cardioid(order=4.0), heading_rad=to_corner) == pytest.approx(plain, rel=0.1)
    assert first(directivity=Cardioid(order=4.0), heading_rad=to_corner + math.pi) < 0.1 * plain


@pytest.mark.parametrize("directivity", [Cardioid(), Talker(), Loudspeaker()], ids=lambda one: one.kind)
def test_the_late_field_has_the_power_that_the_source_emits(directivity: SourceDirectivity) -> None:
    """In a room of scattered sound only power counts: the mean of the squared pattern over the sphere."""
    room = dataclasses.replace(scenes.load("empty_room", size_m=[6.0, 5.0]), scattering_scale=20.0)
    cosine = np.linspace(-1.0, 1.0, 2001)
    power = np.mean([gain_of(directivity, c) ** 2 for c in cosine], axis=0)
    source = (3.0, 2.5, 1.3)
    plain = decode(source_field(room, source, 0.5).energy)[:, 10:].sum(axis=(0, 1))
    for heading_rad in (0.3, 2.0):
        field = source_field(room, source, 0.5, beam(directivity, heading_rad))
        ratio = decode(field.energy)[:, 10:].sum(axis=(0, 1)) / plain
        np.testing.assert_allclose(10.0 * np.log10(ratio / power), 0.0, atol=0.7)


def test_the_late_field_is_stronger_where_the_source_faces(two_rooms: Scene) -> None:
    """Early on, before all is mixed, in the room behind the door that the source faces or not; echoes among it."""
    sound, regions = scene_sound(two_rooms)
    west, source = sound.centre_m[:, 0] < 5.0, (6.5, 1.45, 1.2)
    towards, away = (
        trace_late_field(two_rooms, regions, source, 0.05, sends=beam(Cardioid(order=3.0), heading)).energy[west].sum()
        for heading in (math.pi, 0.0)
    )
    assert towards > 3.0 * away


def test_an_omnidirectional_source_is_the_same_whatever_it_faces(two_rooms: Scene) -> None:
    places = ((7.0, 4.0, 1.2), (2.5, 4.5, 1.2))
    plain = impulse_response(two_rooms, *places, length_s=0.1)
    faced = impulse_response(two_rooms, *places, length_s=0.1, directivity=OmnidirectionalSource(), heading_rad=2.0)
    flat = impulse_response(two_rooms, *places, length_s=0.1, directivity=Cardioid(order=0.0), heading_rad=2.0)
    assert plain.tobytes() == faced.tobytes()
    np.testing.assert_allclose(flat, plain, atol=1e-6)


def test_a_heading_that_is_none_is_refused(two_rooms: Scene) -> None:
    with pytest.raises(ValueError, match="heading_rad must be a finite number, got nan"):
        impulse_response(two_rooms, (7.0, 4.0, 1.2), (2.5, 4.5, 1.2), directivity=Talker(), heading_rad=math.nan)
