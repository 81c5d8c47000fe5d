"""Energies in 16 bits are what they were to 0.01 dB, over all that a field can hold."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from phonotaxis.envs.acoustics.energy_codes import amplitude_of, decode, encode


@given(st.floats(2.0**-95, 2.0**31, width=32))
def test_what_is_stored_is_what_it_was_to_a_hundredth_of_a_decibel(energy: float) -> None:
    code = encode(np.array([energy], dtype=np.float32))
    assert code.dtype == np.uint16
    (stored,) = decode(code).astype(float)
    assert abs(10.0 * np.log10(stored / energy)) < 0.01
    assert abs(20.0 * np.log10(amplitude_of(int(code[0])) / np.sqrt(energy))) < 0.01


def test_no_energy_stays_none_and_too_much_is_the_most() -> None:
    codes = encode(np.array([0.0, 1e-38, 2.0**-97, 1.0, 3e38], dtype=np.float32))
    assert codes.tolist() == [0, 0, 0, 96 * 512, 65535]
    assert decode(codes)[:4].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_codes_are_ordered_as_energies_are() -> None:
    """The weakest pulses are left out by comparing codes."""
    energy = np.geomspace(1e-28, 1e9, 5000).astype(np.float32)
    assert (np.diff(encode(energy).astype(int)) >= 0).all()
