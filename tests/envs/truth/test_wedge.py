"""The wedge in closed form: two derivations agree, the field has no seams, and limits known by symmetry hold."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs.truth.wedge import (
    HALF_PLANE_RAD,
    OCTAVES_HZ,
    RIGHT_ANGLE_RAD,
    SPEED_OF_SOUND_MPS,
    EdgePoint,
    Pressure,
    exact_pressure,
    geometric_pressure,
    octave_levels_db,
    round_edge_m,
    straight_m,
    transition,
    utd_pressure,
)

FREQUENCY_HZ = np.geomspace(180.0, 5600.0, 31)
WEDGES = pytest.mark.parametrize("exterior_rad", [HALF_PLANE_RAD, RIGHT_ANGLE_RAD])
METHODS = pytest.mark.parametrize("pressure", [utd_pressure, exact_pressure])
SOURCE = EdgePoint(2.0, np.radians(35.0), 0.3)


@WEDGES
def test_utd_agrees_with_the_exact_field(exterior_rad: float) -> None:
    """All round the wedge, a metre and more from the edge: UTD is asymptotic, 0.1 dB at 250 Hz and better above."""
    for angle_rad in np.linspace(0.02, exterior_rad - 0.02, 60):
        listener = EdgePoint(1.2, float(angle_rad), 0.9)
        exact = octave_levels_db(exact_pressure, exterior_rad, SOURCE, listener)
        asymptotic = octave_levels_db(utd_pressure, exterior_rad, SOURCE, listener)
        np.testing.assert_allclose(asymptotic, exact, atol=0.1)


@WEDGES
def test_utd_is_less_true_close_to_the_edge(exterior_rad: float) -> None:
    """The two are not one formula in two guises: a tenth of a wavelength away they differ."""
    listener = EdgePoint(0.1, 4.0, 0.3)
    exact = octave_levels_db(exact_pressure, exterior_rad, SOURCE, listener)
    asymptotic = octave_levels_db(utd_pressure, exterior_rad, SOURCE, listener)
    assert abs(asymptotic[0] - exact[0]) > 5 * abs(asymptotic[-1] - exact[-1])


@METHODS
@WEDGES
def test_no_seam_on_any_boundary(pressure: Pressure, exterior_rad: float) -> None:
    """The shadow boundary and both reflection boundaries: rays jump there by half of themselves, the sum doesn't."""
    boundaries = [
        np.pi + SOURCE.angle_rad,
        np.pi - SOURCE.angle_rad,
        2 * exterior_rad - np.pi - (steep := exterior_rad - 0.6),
    ]
    for source, boundary in zip((SOURCE, SOURCE, SOURCE._replace(angle_rad=steep)), boundaries):
        before, at, after = (
            pressure(FREQUENCY_HZ, exterior_rad, source, EdgePoint(1.5, boundary + step, 0.0))
            for step in (-1e-5, 0.0, 1e-5)
        )
        np.testing.assert_allclose(after, before, atol=2e-3)
        np.testing.assert_allclose(at, before, atol=2e-3)
        rays = [
            geometric_pressure(FREQUENCY_HZ, exterior_rad, source, EdgePoint(1.5, boundary + step, 0.0))
            for step in (-1e-5, 1e-5)
        ]
        assert np.abs(rays[1] - rays[0]).min() > 0.2


@METHODS
def test_half_of_the_pressure_on_a_half_planes_shadow_boundary(pressure: Pressure) -> None:
    """Where the edge just hides the source and the mirror image's share has died out, 6 dB are lost."""
    source, listener = EdgePoint(20.0, np.pi / 2, 0.0), EdgePoint(20.0, 1.5 * np.pi, 0.0)
    heard = np.abs(pressure(np.array([8000.0]), HALF_PLANE_RAD, source, listener)) * straight_m(source, listener)
    assert heard[0] == pytest.approx(0.5, abs=0.01)


@METHODS
def test_an_opened_wedge_is_a_mirror(pressure: Pressure) -> None:
    """An exterior angle of 180 degrees is a flat wall: source and one image, and nothing from the edge."""
    listener = EdgePoint(1.0, 2.5, 0.0)
    heard = pressure(FREQUENCY_HZ, np.pi, SOURCE, listener)
    wavenumber = 2 * np.pi * FREQUENCY_HZ / SPEED_OF_SOUND_MPS
    points = [
        np.array([p.distance_m * np.cos(p.angle_rad), p.distance_m * np.sin(p.angle_rad), p.height_m])
        for p in (SOURCE, listener, SOURCE._replace(angle_rad=-SOURCE.angle_rad))
    ]
    expected = sum(
        np.exp(-1j * wavenumber * distance) / distance
        for distance in (np.linalg.norm(points[1] - points[0]), np.linalg.norm(points[1] - points[2]))
    )
    np.testing.assert_allclose(heard, expected, rtol=1e-9)


@METHODS
@WEDGES
def test_source_and_listener_may_change_places(pressure: Pressure, exterior_rad: float) -> None:
    listener = EdgePoint(0.7, 4.2, 1.6)
    there = pressure(FREQUENCY_HZ, exterior_rad, SOURCE, listener)
    back = pressure(FREQUENCY_HZ, exterior_rad, listener, SOURCE)
    np.testing.assert_allclose(there, back, rtol=1e-9)


@METHODS
def test_high_frequencies_bend_worse(pressure: Pressure) -> None:
    levels = octave_levels_db(pressure, RIGHT_ANGLE_RAD, SOURCE, EdgePoint(1.5, 4.5, 0.0))
    assert levels.shape == (len(OCTAVES_HZ),)
    assert (np.diff(levels) < -1.0).all()
    assert (np.diff(levels) > -3.1).all()  # deep in the shadow the loss grows by 3 dB per octave


def test_transition_function() -> None:
    """Sqrt(pi x) at 45 degrees near 0, 1 + i / 2x far out, and a value of the published table between."""
    small, large = 1e-6, 1e3
    assert transition(np.array(small)) == pytest.approx(np.sqrt(np.pi * small) * np.exp(0.25j * np.pi), rel=2e-3)
    assert transition(np.array(large)) == pytest.approx(1.0 + 0.5j / large, rel=1e-6)
    assert transition(np.array(0.3)) == pytest.approx(0.5717 + 0.2730j, abs=1e-4)


def test_distances() -> None:
    a, b = EdgePoint(3.0, 0.0, 0.0), EdgePoint(4.0, np.pi / 2, 0.0)
    assert straight_m(a, b) == pytest.approx(5.0)
    assert round_edge_m(a, b) == pytest.approx(7.0)


@pytest.mark.parametrize("bad", [EdgePoint(0.0, 1.0, 0.0), EdgePoint(1.0, 5.0, 0.0), EdgePoint(np.nan, 1.0, 0.0)])
def test_points_in_the_wedge_are_refused(bad: EdgePoint) -> None:
    with pytest.raises(ValueError, match="the listener must be off the edge"):
        utd_pressure(FREQUENCY_HZ, RIGHT_ANGLE_RAD, SOURCE, bad)
