"""Echoes round corners: where they are, what a bend leaves of them, and that no energy is heard twice."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs.acoustics.air import amplitude_exponent_per_m
from phonotaxis.envs.acoustics.echoes import ECHOES, take_out
from phonotaxis.envs.acoustics.edges import edge_seen
from phonotaxis.envs.acoustics.field import SceneSound, SourceField, scene_sound, source_field
from phonotaxis.envs.acoustics.paths import MAX_PATHS, Surfaces, add_echoes, empty_paths
from phonotaxis.envs.acoustics.source_directivity import beam
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.truth import wedge

SOURCE = (7.4, 3.9, 1.2)


@pytest.fixture
def field(two_rooms: Scene) -> SourceField:
    return source_field(two_rooms, SOURCE, 0.2)


@pytest.fixture
def sound(two_rooms: Scene) -> SceneSound:
    return scene_sound(two_rooms)[0]


def flat_m(field: SourceField, sound: SceneSound, region: int) -> np.ndarray:
    echo = field.echo[region, : field.echoes[region]]
    return np.asarray(np.hypot(*(echo[:, :2] - sound.centre_m[region]).T) + echo[:, 2])


def test_only_regions_that_do_not_see_the_source_have_echoes(field: SourceField, sound: SceneSound) -> None:
    at = np.array(SOURCE[:2])
    beside = np.stack([at, at])
    seen = np.array([edge_seen(sound.plan, beside, float(x), float(y)) for x, y in sound.centre_m])
    assert 0 < seen.sum() < seen.size
    assert (field.echoes[seen] == 0).all()
    assert (field.echoes[~seen] == ECHOES).all()


def test_an_echo_is_longer_than_the_shortest_way_and_the_strongest_come_first(
    field: SourceField, sound: SceneSound
) -> None:
    for region in np.flatnonzero(field.echoes):
        length = flat_m(field, sound, int(region))
        legs = [np.hypot(*(sound.edges.at_m - end).T) for end in (sound.centre_m[region], SOURCE[:2])]
        shortest = float(np.min(legs[0] + legs[1]))  # over one of the door's edges
        assert length.min() > shortest - 1e-3
        assert length.max() < shortest + 11.0  # 10 m, and what edges are apart and bends add
        power = (field.echo[region, : field.echoes[region], 6:9] ** 2).sum(axis=1) / length**2
        assert (np.diff(power) <= 1e-5 * power[0]).all()
        assert (np.abs(field.echo[region, :, 5:]) <= 1.0).all()


def test_a_bent_echo_has_the_level_of_a_wedge_under_the_unfolded_line(field: SourceField, sound: SceneSound) -> None:
    """Of the source mirrored at one wall of its room and bent once at the door, against the closed form."""
    off_db = []
    for edge, at in enumerate(sound.edges.at_m):
        for image in ((2 * 10.0 - SOURCE[0], SOURCE[1]), (SOURCE[0], -SOURCE[1]), (SOURCE[0], 2 * 5.0 - SOURCE[1])):
            before_m = float(np.hypot(*(at - image)))
            for region in np.flatnonzero(field.echoes):
                echo = field.echo[region]
                mine = np.isclose(echo[:, :2], at, atol=1e-4).all(axis=1) & (abs(echo[:, 2] - before_m) < 0.1)
                if mine.sum() != 1:
                    continue
                ends = []
                for point in (image, sound.centre_m[region]):
                    x, y = np.asarray(point, dtype=float) - at
                    turn = (np.arctan2(y, x) - sound.edges.start_rad[edge]) % (2.0 * np.pi)
                    ends.append(wedge.EdgePoint(float(np.hypot(x, y)), float(turn), 0.0))
                way_m = ends[0].distance_m + ends[1].distance_m
                # Faces that absorb send back less than the closed form's: the wall's own gain stands for both.
                wall = sound.mirrored[int(sound.faces[0, 5])]
                levels = []
                for centre_hz in (500.0, 1000.0, 2000.0):
                    tones = centre_hz * 2.0 ** np.linspace(-0.45, 0.45, 31)
                    bent = wedge.utd_diffraction(tones, float(sound.edges.exterior_rad[edge]), *ends)
                    levels.append(10.0 * np.log10(np.mean(np.abs(bent) ** 2) * way_m**2))
                found = 20.0 * np.log10(np.abs(echo[mine][0, 7:10]) / wall[2:5])
                off_db.append(np.abs(found - levels))
    assert len(off_db) >= 6
    assert np.median(off_db) < 0.1
    assert np.percentile(off_db, 90) < 0.5  # another wave may come over the same edge by as long a way


def test_what_echoes_render_is_taken_from_the_late_field(field: SourceField, sound: SceneSound) -> None:
    """As much as they hold where there is enough, down to nothing where there isn't, and elsewhere nothing at all."""
    for plenty in (True, False):
        energy = np.full((len(field.echoes), 20, 6), 1.0 if plenty else 1e-9, dtype=np.float32)
        before = energy.copy()
        take_out(energy, sound.plan, sound.mirrored, field.echo, field.echoes, sound.centre_m, SOURCE[2], beam())
        assert (energy >= 0.0).all()
        assert (energy[field.echoes == 0] == before[field.echoes == 0]).all()
        for region in np.flatnonzero(field.echoes):
            taken = float((before - energy)[region, :, 2].sum())
            heard = echo_energy(field, sound, int(region), 2)
            assert taken == pytest.approx(heard, rel=1e-3) if plenty else taken <= 20e-9 * 1.001


def echo_energy(field: SourceField, sound: SceneSound, region: int, band: int) -> float:
    """Sum the energy of a band in what a listener at the region's centre and the ears' height is given."""
    paths = empty_paths()
    listener = np.array([*sound.centre_m[region], 0.5])
    surfaces = Surfaces(sound.mirrored, amplitude_exponent_per_m())
    count = add_echoes(
        sound.plan, surfaces, field.echo[region], field.echoes[region], 1.0, SOURCE[2], listener, paths, 0
    )
    assert 0 < count < MAX_PATHS
    return float((paths.gain[:count, band].astype(np.float64) ** 2).sum())


def test_an_echo_is_as_long_as_its_flat_way_and_its_rise(field: SourceField, sound: SceneSound) -> None:
    """Delay and direction: the whole length of each path is that of the unfolded line."""
    region = int(np.flatnonzero(field.echoes)[0])
    paths, listener = empty_paths(), np.array([*sound.centre_m[region], 0.5])
    surfaces = Surfaces(sound.mirrored, amplitude_exponent_per_m())
    count = add_echoes(
        sound.plan, surfaces, field.echo[region], field.echoes[region], 1.0, SOURCE[2], listener, paths, 0
    )
    length = paths.extra_m[:count] + np.linalg.norm(paths.position_m[:count] - listener, axis=1)
    height = sound.plan.height
    rises = np.array([1.2, -1.2, 2 * height - 1.2, 2 * height + 1.2, 1.2 - 2 * height]) - 0.5
    expected = np.hypot(np.repeat(flat_m(field, sound, region), 5), np.tile(rises, count // 5))
    np.testing.assert_allclose(length, expected, rtol=1e-5)
    assert (np.hypot(*paths.leaves[:count].T) <= 1.0 + 1e-6).all()
