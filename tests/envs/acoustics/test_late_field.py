"""The late field and its tail: decay, direction, level, coherence and order in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import scipy.signal

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs import scenes
from phonotaxis.envs.acoustics import impulse_response
from phonotaxis.envs.acoustics.air import ATTENUATION_DB_PER_KM, SPEED_OF_SOUND_MPS
from phonotaxis.envs.acoustics.energy_codes import decode
from phonotaxis.envs.acoustics.field import SourceField, scene_sound, source_field
from phonotaxis.envs.acoustics.regions import heard_regions, listening_regions
from phonotaxis.envs.acoustics.tracer import AZIMUTHS, BIN_S, CERTAIN, DIRECTIONS, ELEVATIONS, slot_of
from phonotaxis.envs.scenes.materials import INDEX, OCTAVE_BANDS_HZ, absorption_table
from phonotaxis.envs.scenes.scene import Scene, SceneError

RATE_HZ = 16000
DOOR = np.array([5.05, 1.45])
SOURCES = [(7.5, 4.0, 1.2), (9.0, 2.5, 1.0), (8.0, 0.8, 0.6)]  # in the right one of `two_rooms`
LISTENERS = [(2.5, 4.5, 0.5), (3.5, 2.5, 0.5), (2.0, 3.5, 0.5), (4.2, 3.8, 0.5)]  # in the left one
Direction = Callable[..., float]


def wrap(angle: float | np.ndarray) -> np.ndarray:
    return (np.asarray(angle) + np.pi) % (2 * np.pi) - np.pi


def eyring_s(size_m: tuple[float, float, float], materials: tuple[str, str, str], band: int) -> float:
    """Decay time of a shoebox after Eyring (1930), with air; materials of floor, walls and ceiling."""
    x, y, z = size_m
    area = np.array([x * y, 2 * z * (x + y), x * y])
    absorption = absorption_table()[[INDEX[name] for name in materials], band]
    sabins = -area.sum() * np.log(1 - (area * absorption).sum() / area.sum())
    air = ATTENUATION_DB_PER_KM[band] / 1000 * np.log(10) / 10
    return float(24 * np.log(10) / SPEED_OF_SOUND_MPS * x * y * z / (sabins + 4 * air * x * y * z))


def decay_s(energy: np.ndarray, step_s: float) -> float:
    """Fit the decay time to Schroeder's integral between -5 and -25 dB; energy [times]."""
    left = np.cumsum(energy[::-1])[::-1]
    level_db = 10 * np.log10(left / left[0] + 1e-30)
    first, last = int(np.argmax(level_db < -5)), int(np.argmax(level_db < -25))
    slope = np.polyfit(np.arange(first, last) * step_s, level_db[first:last], 1)[0]
    return float(-60 / slope)


@pytest.mark.parametrize("materials", [("bed", "cabinet", "cabinet"), ("wood_floor", "plaster", "ceiling_plaster")])
def test_a_shoebox_decays_as_eyring_says(materials: tuple[str, str, str]) -> None:
    """Within 25 % in the bands from 250 Hz to 2 kHz, averaged over places."""
    size_m = (6.0, 5.0, 2.6)
    floor, walls, ceiling = materials
    room = scenes.load("empty_room", size_m=[6.0, 5.0], floor=floor, walls=walls, ceiling=ceiling)
    responses = np.concatenate(
        [
            impulse_response(room, (1.7, 1.3, 1.1), (x, y, 0.9), length_s=1.5)
            for x, y in [(4.1, 3.6), (3.0, 2.0), (4.6, 1.2)]
        ]
    ).astype(float)
    for band in (1, 2, 3, 4):
        edges = OCTAVE_BANDS_HZ[band] * 2.0 ** np.array([-0.5, 0.5])
        octave = scipy.signal.butter(4, edges, "bandpass", fs=RATE_HZ, output="sos")
        filtered = scipy.signal.sosfiltfilt(octave, responses, axis=1)
        measured = np.mean([decay_s(row**2, 1 / RATE_HZ) for row in filtered])
        assert measured == pytest.approx(eyring_s(size_m, materials, band), rel=0.25), OCTAVE_BANDS_HZ[band]


def test_the_field_decays_band_by_band() -> None:
    """Carpet all over: bands whose decay times differ by a factor of six, each within 25 % of Eyring."""
    room = scenes.load("empty_room", floor="carpet", walls="carpet", ceiling="carpet")
    energy = decode(source_field(room, (1.7, 1.3, 1.1), 1.5).energy).sum(axis=0)
    for band in (1, 2, 3, 4):
        expected = eyring_s((6.0, 5.0, 2.6), ("carpet",) * 3, band)
        assert decay_s(energy[:, band].astype(float), BIN_S) == pytest.approx(expected, rel=0.25)


def test_late_energy_fills_a_room_as_its_absorption_says() -> None:
    """Diffuse steady state: 16 pi / A over the direct sound at 1 m (Kuttruff, Room Acoustics), within 1.5 dB."""
    room = scenes.load("empty_room", floor="cabinet", walls="cabinet", ceiling="cabinet")
    energy = decode(source_field(room, (1.7, 1.3, 1.1), 1.5).energy)
    band, area = 3, 2 * (6 * 5 + 6 * 2.6 + 5 * 2.6)
    absorption = 0.08
    late = 16 * np.pi * (1 - absorption) / (area * absorption)  # what has been reflected at least once
    assert 10 * np.log10(energy[:, :, band].sum(axis=1).mean() / late) == pytest.approx(0.0, abs=1.5)


def test_round_the_corner_sound_comes_through_the_door(
    two_rooms: Scene, array: MicrophoneArray, hear_direction: Direction
) -> None:
    """The first 12 ms, before a wall can mirror the door, point to it, not through the wall to the source."""
    off_door, off_source = [], []
    for source in SOURCES:
        for listener in LISTENERS:
            response = impulse_response(two_rooms, source, listener, 0.3)
            heard = hear_direction(response, array, 0.3, 0.012)
            for errors, goal in ((off_door, DOOR), (off_source, np.array(source[:2]))):
                errors.append(abs(wrap(heard - np.arctan2(*(goal - listener[:2])[::-1]))))
    assert np.degrees(np.median(off_door)) < 15
    assert np.mean(np.degrees(off_door) < 30) > 0.9
    assert np.median(off_source) > 2 * np.median(off_door)


def test_the_late_field_flows_from_the_door(two_rooms: Scene) -> None:
    """Summed over time, in the regions near it: within 30 degrees in the median."""
    sound, _ = scene_sound(two_rooms)
    off, strength = [], []
    for source in SOURCES:
        field = source_field(two_rooms, source, 0.5)
        for region, (x, y) in enumerate(sound.centre_m):
            away_m = np.hypot(*(DOOR - (x, y)))
            if x < 5.0 and 0.7 < away_m < 2.5:
                flow = flow_of(field, region)
                off.append(abs(wrap(np.arctan2(flow[1], flow[0]) - np.arctan2(DOOR[1] - y, DOOR[0] - x))))
                strength.append(np.linalg.norm(flow))
    assert len(off) > 10
    assert np.median(strength) > 0.05
    assert np.degrees(np.median(off)) < 30


def flow_of(field: SourceField, region: int) -> np.ndarray:
    """Return the mean direction that a region's energy comes from, [3], over slots that have any."""
    shares = np.diff(field.directions[region].astype(float), axis=1, prepend=0.0) / CERTAIN
    cell = np.arange(DIRECTIONS)
    z = 2.0 * (cell // AZIMUTHS + 0.5) / ELEVATIONS - 1.0
    azimuth = 2.0 * np.pi * (cell % AZIMUTHS + 0.5) / AZIMUTHS
    towards = np.stack([np.sqrt(1 - z**2) * np.cos(azimuth), np.sqrt(1 - z**2) * np.sin(azimuth), z], axis=1)
    energy = np.zeros(shares.shape[0])
    per_bin = decode(field.energy[region]).sum(axis=1)
    np.add.at(energy, [slot_of(k) for k in range(per_bin.size)], per_bin)
    mean: np.ndarray = (energy @ shares @ towards) / energy.sum()
    return mean


def test_shares_of_directions_are_whole_where_there_is_energy(two_rooms: Scene) -> None:
    field = source_field(two_rooms, SOURCES[0], 0.5)
    assert field.energy.any()
    shares = field.directions.astype(int)
    assert (np.diff(shares, axis=2) >= 0).all()
    assert set(np.unique(shares[:, :, -1])) <= {0, CERTAIN}
    assert (shares[:, -1, -1] == CERTAIN).mean() > 0.9  # in the end it is everywhere
    assert np.median(np.diff(shares[:, -1], axis=1, prepend=0).max(axis=1)) < CERTAIN // 4  # and from all sides


def test_in_sight_is_louder_than_out_of_it(two_rooms: Scene) -> None:
    """At equal distance from the source: through the open door and behind the wall."""
    source = (7.0, 1.45, 1.0)
    energy = [
        (impulse_response(two_rooms, source, listener).astype(float) ** 2).mean(axis=0)
        for listener in [(4.0, 1.45, 0.5), (4.35, 2.85, 0.5)]
    ]
    assert np.hypot(3.0, 0.5) == pytest.approx(np.hypot(np.hypot(2.65, 1.4), 0.5), abs=0.02)
    early_db, total_db = (10 * np.log10(energy[0][:end].sum() / energy[1][:end].sum()) for end in (320, 8000))
    assert early_db > 4.0  # in the first 20 ms
    assert total_db > 1.0


def test_nothing_is_heard_before_the_first_sound(two_rooms: Scene) -> None:
    for source in SOURCES:
        for listener in LISTENERS:
            listener_xy, source_xy = np.array(listener[:2]), np.array(source[:2])
            way_m = np.linalg.norm(DOOR - listener_xy) + np.linalg.norm(source_xy - DOOR)
            response = impulse_response(two_rooms, source, listener).astype(float) ** 2
            before = int((way_m - 0.4) / SPEED_OF_SOUND_MPS * RATE_HZ) - 32  # half a kernel, corners of the frame
            assert response[:, :before].sum() < 1e-3 * response.sum()


def test_two_sources_share_no_tail(two_rooms: Scene) -> None:
    listener = (2.5, 3.5, 0.5)
    first, second = (impulse_response(two_rooms, source, listener).astype(float)[0, 800:] for source in SOURCES[:2])
    lags = scipy.signal.correlate(first, second)
    assert np.abs(lags).max() < 0.2 * np.sqrt((first**2).sum() * (second**2).sum())


def test_the_same_place_sounds_the_same(two_rooms: Scene) -> None:
    once = impulse_response(two_rooms, SOURCES[0], LISTENERS[0], 0.2)
    impulse_response(two_rooms, SOURCES[1], LISTENERS[1], 0.1)
    assert np.array_equal(once, impulse_response(two_rooms, SOURCES[0], LISTENERS[0], 0.2))
    copy = dataclasses.replace(two_rooms)  # another object, the same scene
    assert np.array_equal(once, impulse_response(copy, SOURCES[0], LISTENERS[0], 0.2))


def test_a_centimetre_changes_little_and_a_metre_much(two_rooms: Scene) -> None:
    """Below 500 Hz, a hundredth of a metre is nothing; a metre is another place."""
    here = (2.45, 3.45, 0.5)  # in the middle of a region
    responses = [
        _low_passed(impulse_response(two_rooms, SOURCES[0], (here[0] + dx, here[1], 0.5))) for dx in (0.0, 0.01, 1.0)
    ]
    power = (responses[0] ** 2).sum()
    near, far = (((response - responses[0]) ** 2).sum() / power for response in responses[1:])
    assert near < 0.02
    assert far > 0.5


def _low_passed(response: np.ndarray) -> np.ndarray:
    low = scipy.signal.butter(4, 500, fs=RATE_HZ, output="sos")
    filtered: np.ndarray = scipy.signal.sosfiltfilt(low, response.astype(float), axis=1)
    return filtered


def test_the_tail_turns_with_the_robot(two_rooms: Scene, array: MicrophoneArray) -> None:
    """A quarter turn of a square array hands each microphone's response to its neighbour."""
    straight, turned = (impulse_response(two_rooms, SOURCES[0], LISTENERS[0], yaw) for yaw in (0.0, np.pi / 2))
    assert array.mic_xyz_m[1] == (0.0, 0.032, 0.45)
    np.testing.assert_allclose(turned[0], straight[1], atol=2e-3 * np.abs(straight).max())


def test_mirrors_that_no_image_renders_are_traced() -> None:
    """A cupboard in a free field: its side throws sound back, though only walls have images."""
    bare = scenes.load(
        "empty_room", size_m=[12.0, 12.0], floor="acoustic_ceiling", walls="curtain", ceiling="acoustic_ceiling"
    )
    floor = bare.floor_m.copy()
    side = bare.side_material.copy()
    cupboard = (slice(40, 80), slice(90, 95))
    floor[cupboard], side[cupboard] = 2.0, INDEX["tiles"]
    furnished = dataclasses.replace(bare, name="cupboard", floor_m=floor, side_material=side)
    source, listener = (6.0, 6.0, 1.0), (6.5, 6.5, 1.0)
    early = [source_field(scene, source, 0.1) for scene in (bare, furnished)]
    region = [scene_sound(scene)[0].label[scene.cell_of(*listener[:2])] for scene in (bare, furnished)]
    arrives = int((8.9 - 6.0 + 8.9 - 6.5) / SPEED_OF_SOUND_MPS / BIN_S)
    with_it, without = (
        decode(field.energy[k, arrives : arrives + 2, 3]).sum() for field, k in zip(early[::-1], region[::-1])
    )
    image = 0.95 * 0.98 / (8.9 - 6.0 + 8.9 - 6.5) ** 2
    assert with_it - without > 0.6 * image


def test_regions_keep_to_their_side_of_a_wall(two_rooms: Scene) -> None:
    regions = listening_regions(two_rooms)
    left = set(regions.label[:, :50].ravel()) - {-1}
    right = set(regions.label[:, 53:].ravel()) - {-1}
    assert left
    assert not left & right
    assert (regions.label[two_rooms.is_wall] == -1).all()
    assert (regions.label[~two_rooms.is_wall] >= 0).all()
    assert regions.volume_m3.sum() == pytest.approx((~two_rooms.is_wall).sum() * 0.01 * two_rooms.height_m, rel=1e-5)
    for region, (x, y) in enumerate(regions.centre_m):
        rows, columns = np.nonzero(regions.label == region)
        assert np.hypot(np.ptp(rows), np.ptp(columns)) <= np.hypot(9, 9)
        assert np.allclose((x, y), two_rooms.centre_of(rows.mean(), columns.mean()), atol=1e-5)


def raised(scene: Scene, height_m: float, low: tuple[float, float], high: tuple[float, float]) -> Scene:
    """Stand something on the floor between two places."""
    floor = scene.floor_m.copy()
    (first_row, first_column), (last_row, last_column) = scene.cell_of(*low), scene.cell_of(*high)
    floor[first_row : last_row + 1, first_column : last_column + 1] = height_m
    return dataclasses.replace(scene, name=f"{scene.name}_{height_m}", floor_m=floor)


@pytest.mark.parametrize("height_m", [0.5, 0.75, 1.5])
def test_over_furniture_the_late_field_is_that_of_the_floor_beside_it(two_rooms: Scene, height_m: float) -> None:
    scene = raised(two_rooms, height_m, (2.05, 2.05), (3.15, 3.15))
    over, beside = (
        impulse_response(scene, SOURCES[0], (x, 2.6, height_m + 0.2)).astype(float)[:, 1600:] for x in (2.4, 1.6)
    )
    assert 10 * np.log10((over**2).sum() / (beside**2).sum()) == pytest.approx(0.0, abs=3.0)


def test_no_late_field_comes_through_a_wall_to_furniture_beside_it(two_rooms: Scene) -> None:
    """Cells of floor behind the wall are nearer than those in front of the cupboard."""
    scene = raised(two_rooms, 2.0, (4.05, 3.05), (4.95, 4.95))
    plain, regions = listening_regions(two_rooms), listening_regions(scene)
    heard = heard_regions(scene, regions)
    assert np.array_equal(heard[regions.label >= 0], regions.label[regions.label >= 0])
    row, column = scene.cell_of(4.95, 4.0)
    assert regions.label[row, column] == -1 < plain.label[row, column]
    assert heard[row, column] in set(regions.label[:, :50].ravel()) - {-1}
    assert (heard[scene.is_wall] == -1).all()


def test_where_no_floor_is_near_no_response_is_made(two_rooms: Scene) -> None:
    scene = raised(two_rooms, 0.6, (0.05, 0.05), (4.95, 4.95))
    with pytest.raises(SceneError, match=r"the listener at \(2.00, 2.00, 1.00\) m is more than 2 m from any floor"):
        impulse_response(scene, SOURCES[0], (2.0, 2.0, 1.0))
