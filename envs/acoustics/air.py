"""Air: how fast sound goes and what the air takes from it."""

from __future__ import annotations

import numpy as np

from phonotaxis.configs.air import Air
from phonotaxis.envs.scenes.materials import OCTAVE_BANDS_HZ

SPEED_OF_SOUND_MPS = 343.2  # at 20 degrees Celsius, ISO 9613-1:1993, annex A; the nominal air of the simulator

# ISO 9613-2:1996, table 2, 20 degrees Celsius and 70 % relative humidity; octave bands 125 to 4000 Hz.
ATTENUATION_DB_PER_KM = (0.3, 1.1, 2.8, 5.0, 9.0, 22.9)

_ZERO_K = 273.15
_TRIPLE_POINT_K = 273.16
_REFERENCE_K = 293.15
_REFERENCE_KPA = 101.325
_CARBON_DIOXIDE = 0.0004  # mole fraction, as Cramer's paper is commonly used; 0.001 is 0.05 m/s slower
_NEPER_PER_DB = float(np.log(10.0) / 20.0)


def amplitude_exponent_per_m(air: Air | None = None) -> np.ndarray:
    """Return `a` per band, float32 [bands], such that a pressure falls as exp(-a * metres).

    Args:
        air: whose absorption at the bands' exact midband frequencies to take; None is the nominal air of
            `ATTENUATION_DB_PER_KM`.
    """
    db_per_km = np.array(ATTENUATION_DB_PER_KM) if air is None else octave_attenuation_db_per_km(air)
    return (db_per_km / 1000.0 * _NEPER_PER_DB).astype(np.float32)


def octave_attenuation_db_per_km(air: Air) -> np.ndarray:
    """Return the attenuation at the exact midband frequency of each octave band, float64 [bands], dB/km.

    Exact midband frequencies are 1000 Hz times powers of 10^0.3 (ISO 9613-1:1993, 6.4, note 5); the pure tone's
    attenuation there stands for the band (8.2.1).
    """
    octave = np.round(np.log2(np.array(OCTAVE_BANDS_HZ) / 1000.0))
    return attenuation_db_per_m(1000.0 * 10.0 ** (0.3 * octave), air) * 1000.0


def attenuation_db_per_m(frequency_hz: np.ndarray, air: Air) -> np.ndarray:
    """Return the attenuation of pure tones by the air, float64 [...], dB/m.

    ISO 9613-1:1993, equations (3) to (5); within 10 % for 0.05 to 5 % molar concentration of water vapour.

    Args:
        frequency_hz: float [...], Hz.
        air: temperature, humidity and pressure.
    """
    f2 = np.square(np.asarray(frequency_hz, dtype=np.float64))
    kelvin = air.temperature_c + _ZERO_K
    warmth = kelvin / _REFERENCE_K
    pressure = air.pressure_kpa / _REFERENCE_KPA
    vapour = _water_vapour_percent(air)
    oxygen_hz = pressure * (24.0 + 4.04e4 * vapour * (0.02 + vapour) / (0.391 + vapour))
    nitrogen_hz = pressure / np.sqrt(warmth) * (9.0 + 280.0 * vapour * np.exp(-4.170 * (warmth ** (-1 / 3) - 1.0)))
    oxygen = 0.01275 * np.exp(-2239.1 / kelvin) / (oxygen_hz + f2 / oxygen_hz)
    nitrogen = 0.1068 * np.exp(-3352.0 / kelvin) / (nitrogen_hz + f2 / nitrogen_hz)
    return 8.686 * f2 * (1.84e-11 / pressure * np.sqrt(warmth) + warmth**-2.5 * (oxygen + nitrogen))


def _water_vapour_percent(air: Air) -> float:
    """Return the molar concentration of water vapour in per cent, ISO 9613-1:1993, annex B."""
    saturation = 10.0 ** (-6.8346 * (_TRIPLE_POINT_K / (air.temperature_c + _ZERO_K)) ** 1.261 + 4.6151)
    return float(air.relative_humidity_percent * saturation * _REFERENCE_KPA / air.pressure_kpa)


def speed_of_sound_mps(air: Air) -> float:
    """Return the speed of sound in m/s.

    Cramer 1993, JASA 93(5), equation (15) and table III, fitted for 0 to 30 degrees Celsius and 75 to 102 kPa (to
    300 parts in a million); outside that it is smooth and stays within 0.1 % of the ideal gas.

    Args:
        air: temperature, humidity and pressure.
    """
    t, pascal, carbon = air.temperature_c, air.pressure_kpa * 1000.0, _CARBON_DIOXIDE
    water = _water_vapour_percent(air) / 100.0
    speed = 331.5024 + 0.603055 * t - 0.000528 * t**2
    speed += (51.471935 + 0.1495874 * t - 0.000782 * t**2) * water
    speed += (-1.82e-7 + 3.73e-8 * t - 2.93e-10 * t**2) * pascal
    speed += (-85.20931 - 0.228525 * t + 5.91e-5 * t**2) * carbon
    speed += -2.835149 * water**2 - 2.15e-13 * pascal**2 + 29.179762 * carbon**2 + 4.86e-4 * water * pascal * carbon
    return float(speed)
