"""The air against the tables of ISO 9613 and against the ideal gas."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.configs.air import Air
from phonotaxis.configs.base import ConfigError, build
from phonotaxis.envs.acoustics import air as module
from phonotaxis.envs.acoustics.air import (
    amplitude_exponent_per_m,
    attenuation_db_per_m,
    octave_attenuation_db_per_km,
    speed_of_sound_mps,
)

# ISO 9613-1:1993, table 1: temperature, humidity, third-octave number (1000 Hz * 10^(k/10)), dB/km.
TABLE = [
    (-20.0, 10.0, -13, 0.589),
    (-20.0, 70.0, 0, 11.5),
    (-20.0, 100.0, 6, 31.4),
    (0.0, 15.0, 0, 18.3),
    (0.0, 10.0, 9, 26.4),
    (10.0, 10.0, 6, 57.3),
    (10.0, 70.0, -9, 0.411),
    (20.0, 50.0, -9, 0.445),
    (20.0, 50.0, 0, 4.66),
    (20.0, 10.0, 6, 109.0),
    (20.0, 80.0, 0, 5.15),
    (20.0, 15.0, 8, 175.0),
    (20.0, 100.0, 6, 19.4),
    (30.0, 50.0, 0, 7.03),
    (50.0, 70.0, 9, 80.3),
]


@pytest.mark.parametrize(("temperature_c", "humidity", "third", "db_per_km"), TABLE)
def test_attenuation_is_that_of_the_table(temperature_c: float, humidity: float, third: int, db_per_km: float) -> None:
    """The table has three digits, so half a unit of the third is up to 0.5 %."""
    air = Air(temperature_c=temperature_c, relative_humidity_percent=humidity)
    got = 1000.0 * attenuation_db_per_m(np.array([1000.0 * 10.0 ** (third / 10.0)]), air)
    assert got[0] == pytest.approx(db_per_km, rel=0.005)


@pytest.mark.parametrize(
    ("temperature_c", "humidity", "db_per_km"),
    [
        (10.0, 70.0, (0.4, 1.0, 1.9, 3.7, 9.7, 32.8)),
        (20.0, 70.0, module.ATTENUATION_DB_PER_KM),
        (30.0, 70.0, (0.3, 1.0, 3.1, 7.4, 12.7, 23.1)),
        (15.0, 20.0, (0.6, 1.2, 2.7, 8.2, 28.2, 88.8)),
    ],
)
def test_octave_bands_are_those_of_part_two(
    temperature_c: float, humidity: float, db_per_km: tuple[float, ...]
) -> None:
    """ISO 9613-2:1996, table 2, given there to 0.1 dB/km."""
    air = Air(temperature_c=temperature_c, relative_humidity_percent=humidity)
    np.testing.assert_allclose(octave_attenuation_db_per_km(air), db_per_km, atol=0.0501)


def test_exponent_of_an_air_is_its_attenuation() -> None:
    air = Air(temperature_c=15.0, relative_humidity_percent=20.0)
    exponent = amplitude_exponent_per_m(air)
    assert exponent.dtype == np.float32
    lost_db = -20.0 * np.log10(np.exp(-100.0 * exponent.astype(float)))
    np.testing.assert_allclose(lost_db, 0.1 * octave_attenuation_db_per_km(air), rtol=1e-5)


def test_nominal_air_is_near_that_of_its_table() -> None:
    assert Air() == Air(temperature_c=20.0, relative_humidity_percent=70.0)  # as the table's heading says
    named = amplitude_exponent_per_m(Air())
    np.testing.assert_allclose(amplitude_exponent_per_m(), named, rtol=0.15)  # 0.3 dB/km in the table is 0.339
    assert speed_of_sound_mps(Air()) == pytest.approx(344.23, abs=0.01)  # as `Air` says
    assert pytest.approx(344.23, rel=0.0031) == module.SPEED_OF_SOUND_MPS  # ISO 9613-1 knows no humidity here


def test_attenuation_scales_with_pressure() -> None:
    """At one molar share of vapour, all of it is a function of frequency / pressure, times the pressure."""
    low = Air(pressure_kpa=101.325, relative_humidity_percent=50.0)
    high = Air(pressure_kpa=101.325 / 2.0, relative_humidity_percent=25.0)
    tones_hz = np.array([250.0, 1000.0, 4000.0])
    np.testing.assert_allclose(
        attenuation_db_per_m(tones_hz, high), 0.5 * attenuation_db_per_m(2.0 * tones_hz, low), rtol=1e-12
    )


def test_speed_in_dry_air_at_freezing_is_the_accepted_one() -> None:
    """331.45 m/s, with 0.05 m/s of uncertainty (Cramer 1993, section IV)."""
    assert speed_of_sound_mps(Air(temperature_c=0.0, relative_humidity_percent=0.0)) == pytest.approx(331.45, abs=0.05)


@pytest.mark.parametrize("temperature_c", [-20.0, 0.0, 10.0, 20.0, 30.0, 50.0])
@pytest.mark.parametrize("humidity", [0.0, 50.0, 100.0])
def test_speed_is_that_of_a_mixture_of_ideal_gases(temperature_c: float, humidity: float) -> None:
    """Molar heats 29.1 and 33.6 J/(mol K), masses 28.96 and 18.02 g/mol; real air differs by 0.1 %."""
    kelvin = temperature_c + 273.15
    magnus_kpa = 0.61094 * np.exp(17.625 * temperature_c / (temperature_c + 243.04))  # saturation over water
    vapour = humidity / 100.0 * magnus_kpa / 101.325
    heat = 29.1 * (1 - vapour) + 33.6 * vapour
    mass = 0.02896 * (1 - vapour) + 0.01802 * vapour
    ideal_mps = np.sqrt(heat / (heat - 8.314) * 8.314 * kelvin / mass)
    air = Air(temperature_c=temperature_c, relative_humidity_percent=humidity)
    assert speed_of_sound_mps(air) == pytest.approx(ideal_mps, rel=0.0015)


def test_air_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="temperature_c.*less than or equal to 50"):
        build(Air, {"temperature_c": 293.15}, "air.yaml")
