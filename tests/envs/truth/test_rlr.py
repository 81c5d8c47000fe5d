"""RLR in its own axes and units, turned into ours; left out in words where it isn't installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from phonotaxis.envs import scenes
from phonotaxis.envs.scenes.materials import MATERIALS, OCTAVE_BANDS_HZ
from phonotaxis.envs.truth import ReferenceMissing
from phonotaxis.envs.truth.rlr import _material, _quiet, rlr_seconds_per_response

SOURCE, LISTENER = (1.5, 1.0, 1.0), (4.0, 3.5, 1.2)


def test_missing_is_said_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rlr_audio_propagation", None)
    room = scenes.load("empty_room")
    with pytest.raises(ReferenceMissing, match="pip install rlr-audio-propagation.*CC-BY-NC"):
        rlr_seconds_per_response(room, [(SOURCE, LISTENER)], rays=50)


def test_no_poses_to_time() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        rlr_seconds_per_response(scenes.load("empty_room"), [], rays=50)


def test_materials_keep_their_curves() -> None:
    """RLR reads a curve as frequency, value, frequency, value; nothing is let through a wall."""
    given = _material(MATERIALS[5])
    assert given["absorption"][::2] == list(OCTAVE_BANDS_HZ)
    assert given["absorption"][1::2] == list(MATERIALS[5].absorption)
    assert given["scattering"][1::2] == list(MATERIALS[5].scattering)
    assert given["transmission"][1::2] == [0.0] * len(OCTAVE_BANDS_HZ)


def test_what_a_library_prints_stays_off_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """Libraries write to the file, not to Python's stream; programs that read `--json` must not see it."""
    import os

    with _quiet():
        os.write(1, b"Context created")
    print("after")
    out, err = capfd.readouterr()
    assert out == "after\n"
    assert "Context created" in err


def test_direct_sound_in_our_axes_and_units() -> None:
    """In the empty room: 1 / r within 1 dB, in time within a sample, from the source's direction within a degree."""
    pytest.importorskip("rlr_audio_propagation", reason="non-commercial reference, in the bench extra only")
    from phonotaxis.envs.truth.rlr import RATE_HZ, Rlr

    response = Rlr(scenes.load("empty_room"), rays=100, length_s=0.5).response(SOURCE, LISTENER)
    towards = np.subtract(SOURCE, LISTENER)
    distance_m = float(np.linalg.norm(towards))
    arrival = distance_m / 343.2 * RATE_HZ
    first = int(np.abs(response[0, : int(arrival) + 4]).argmax())
    assert abs(first - arrival) < 1.0
    assert response[0, first] * distance_m == pytest.approx(1.0, abs=0.12)
    np.testing.assert_allclose(response[1:, first] / response[0, first], towards / distance_m, atol=0.02)


def test_seconds_per_response() -> None:
    """A time can't be asserted; that it is one can."""
    pytest.importorskip("rlr_audio_propagation", reason="non-commercial reference, in the bench extra only")
    seconds = rlr_seconds_per_response(scenes.load("empty_room"), [(SOURCE, LISTENER)], rays=20, length_s=0.2)
    assert 0.0 < seconds < 60.0
