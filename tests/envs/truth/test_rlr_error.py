"""What is read where RLR is held against exact images."""

from __future__ import annotations

import numpy as np
import pytest

from phonotaxis.envs.truth import rlr_error

RATE_HZ = rlr_error.RATE_HZ


def test_a_louder_reflection_is_found_in_its_span() -> None:
    """Direct sound at 10 ms, reflections 5 and 20 ms later; the first is 6 dB louder in one of two responses."""
    plain, louder = np.zeros(RATE_HZ // 4), np.zeros(RATE_HZ // 4)
    for response, gain in ((plain, 0.3), (louder, 0.6)):
        response[160], response[240], response[480] = 1.0, gain, 0.3
    before, after = (np.array(rlr_error.read(response, 0.01)) for response in (plain, louder))
    difference = after - before
    assert difference[0] == pytest.approx(-10 * np.log10((0.36 + 0.09) / 0.18), abs=0.15)
    assert difference[2] == pytest.approx(20 * np.log10(2.0), abs=0.1)
    assert difference[3] == pytest.approx(0.0, abs=0.1)


def test_rows_are_the_reference_s_and_name_ours_beside_it() -> None:
    found = np.zeros((4, 2, 4))
    found[:, 0, 0], found[:, 1, 0] = [-1.0, -2.0, 1.0, -3.0], 0.25
    ratio, level = rlr_error.rows(found)
    assert ratio.value == 1.5
    assert ratio.goal is None
    assert "DRR -1.2 (ours +0.2)" in ratio.note
    assert level.value == 0.0
