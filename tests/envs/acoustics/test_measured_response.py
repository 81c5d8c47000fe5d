"""Measured responses: a free field that was written to a file comes back as one, whatever the file's own delays."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.noise import Noise, RobotNoise
from phonotaxis.envs.acoustics.air import SPEED_OF_SOUND_MPS
from phonotaxis.envs.acoustics.directivity import Directivity, build_directivity, direction_grid, interpolate_fir
from phonotaxis.envs.acoustics.directivity_models import rigid_sphere_response
from phonotaxis.envs.acoustics.measured_response import MeasuredDirectivity, Measurement
from phonotaxis.envs.acoustics.noise import NoiseSource

FILE_RATE_HZ = 48000
TAPS = 256
COMMON_S = 1.3e-3
PLACES_M = np.array([[0.03, 0.05, 0.3], [-0.02, -0.05, 0.31], [0.0, 0.01, 0.33]])


def free_field() -> dict[str, Any]:
    """Return responses of ideal microphones, each half as sensitive as the one before, as if measured."""
    direction = direction_grid(np.pi / 12)[2]
    arrival_s = COMMON_S - direction @ (PLACES_M - PLACES_M.mean(axis=0)).T / SPEED_OF_SOUND_MPS
    frequency_hz = np.fft.rfftfreq(TAPS, 1 / FILE_RATE_HZ)
    delay = np.exp(-2j * np.pi * arrival_s[:, :, None] * frequency_hz)
    fade = np.cos(np.pi / 2 * np.clip(frequency_hz / 1000 - 16, 0, 8) / 8) ** 2
    response = np.fft.irfft(delay * fade, TAPS, axis=2) * (0.5 ** np.arange(3))[:, None]
    return {"response": response, "direction": 2.5 * direction, "sample_rate_hz": FILE_RATE_HZ}


def array(directivity: dict[str, Any], mics: int = 3) -> MicrophoneArray:
    return MicrophoneArray.model_validate(
        {
            "name": "measured",
            "mic_xyz_m": PLACES_M[:mics].tolist(),
            "channel_map": list(range(mics)),
            "device_channels": mics,
            "directivity": directivity,
        }
    )


def check_is_free_field(built: Directivity | None) -> None:
    """Check that filters of 200 directions are impulses: within 0.02 samples by phase, 300 to 6000 Hz, and 0.2 dB."""
    assert built is not None
    frequency = np.linspace(300.0, 6000.0, 60) / 16000
    towards = np.random.default_rng(5).standard_normal((200, 3))
    out = np.empty(built.fir.shape[1:], dtype=np.float32)
    for x, y, z in towards:
        interpolate_fir(built, x, y, z, out)
        taps = np.arange(out.shape[1]) - built.fir_delay_samples
        ratio = out.astype(float) @ np.exp(-2j * np.pi * np.outer(taps, frequency)) * (2.0 ** np.arange(3))[:, None]
        slope = np.unwrap(np.angle(ratio)) @ frequency / (2 * np.pi * frequency @ frequency)
        assert np.abs(slope).max() < 0.02
        assert np.abs(20 * np.log10(np.abs(ratio))).max() < 0.2
    np.testing.assert_allclose(built.delay, 0.0, atol=0.05)


@pytest.mark.parametrize("common_delay_s", [None, COMMON_S])
def test_a_measured_free_field_is_an_impulse(tmp_path: Path, common_delay_s: float | None) -> None:
    np.savez(tmp_path / "mine.npz", **free_field())
    directivity = {"kind": "measured", "path": str(tmp_path / "mine.npz"), "common_delay_s": common_delay_s}
    check_is_free_field(build_directivity(array(directivity), 16000))


def test_delays_that_the_file_keeps_apart_count() -> None:
    """Half a millisecond moved out of the responses changes nothing."""
    fields = free_field()
    direction = fields["direction"] / 2.5
    whole = Measurement(direction, fields["response"], np.zeros((len(direction), 3)), FILE_RATE_HZ)
    moved = whole._replace(response=np.roll(fields["response"], -24, axis=2), delay_s=whole.delay_s + 24 / FILE_RATE_HZ)
    frequency_hz = np.linspace(300.0, 6000.0, 10)
    one, other = (
        MeasuredDirectivity(m, PLACES_M, COMMON_S).response(1, direction[:9], frequency_hz) for m in (whole, moved)
    )
    np.testing.assert_allclose(one, other, atol=1e-4)  # a roll takes the ends of the responses round


def test_the_common_delay_is_read_where_microphones_face_the_sound() -> None:
    """On a head's far side sound comes late; what is common to all is what the near side tells."""
    outward = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    direction = direction_grid(np.pi / 18)[2]
    direction = direction[direction @ outward[0] > 0.75]  # sound from the left: the right ear is deep in the shadow
    frequency_hz = np.fft.rfftfreq(TAPS, 1 / FILE_RATE_HZ)
    fade = np.cos(np.pi / 2 * np.clip(frequency_hz / 1000 - 16, 0, 8) / 8) ** 2
    responses = []
    for place in outward:
        arrival_s = COMMON_S - direction @ place * 0.0875 / SPEED_OF_SOUND_MPS
        spectrum = rigid_sphere_response(direction @ place, frequency_hz, 0.0875) * fade
        spectrum *= np.exp(-2j * np.pi * np.outer(arrival_s, frequency_hz))
        responses.append(np.fft.irfft(spectrum, TAPS, axis=1))
    measurement = Measurement(direction, np.stack(responses, 1), np.zeros((len(direction), 2)), FILE_RATE_HZ)
    estimate_s = MeasuredDirectivity(measurement, 0.0875 * outward, None).common_delay_s
    assert 16000 * abs(estimate_s - COMMON_S) < 0.03


def test_noise_is_heard_through_the_file_as_it_is_now(tmp_path: Path) -> None:
    path, quieter = tmp_path / "mine.npz", free_field()
    ours = array({"kind": "measured", "path": str(path), "common_delay_s": COMMON_S})
    np.savez(path, **quieter)
    before = NoiseSource(ours, 16000, Noise(robot=RobotNoise(fan_dba=40.0))).bank
    quieter["response"][:, 0] *= 0.5
    quieter["response"][:, 1:] *= 2.0
    np.savez(path, **quieter)
    now = NoiseSource(ours, 16000, Noise(robot=RobotNoise(fan_dba=40.0))).bank
    loudness = [np.sqrt(np.mean(bank[0].astype(float) ** 2, axis=1)) for bank in (before, now)]
    assert loudness[1][1] / loudness[1][0] > 2.0 * loudness[0][1] / loudness[0][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"response": None}, "lacks response"),
        ({"response": np.zeros((5, 3))}, "expected response"),
        ({"direction": np.zeros((4, 3))}, "expected response"),
        ({"response": np.full((5, 3, 8), np.nan), "direction": np.ones((5, 3))}, "not finite"),
        ({"response": np.ones((5, 2, 8)), "direction": np.ones((5, 3))}, "holds 2 microphones, the array has 3"),
        ({"response": np.zeros((5, 3, 8)), "direction": np.ones((5, 3))}, "microphone 0 hears nothing"),
        ({"delay_s": np.full((5, 3), np.nan)}, "expected finite delay_s"),
        ({"delay_s": np.zeros(7)}, "expected finite delay_s"),
        ({"sample_rate_hz": np.array("fast")}, "not numbers"),
        ({"sample_rate_hz": 8000}, "sampled at 8000 Hz, the simulation at 16000 Hz"),
        ({"sample_rate_hz": np.inf}, "a sample rate of inf Hz .* at most 1e"),
        ({"response": np.full((5, 3, 8), 1e200), "direction": np.ones((5, 3))}, "responses of up to 1e.200"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    fields = {name: value for name, value in {**free_field(), **change}.items() if value is not None}
    np.savez(tmp_path / "mine.npz", **fields)
    with pytest.raises(ConfigError, match=message):
        build_directivity(array({"kind": "measured", "path": str(tmp_path / "mine.npz")}), 16000)


def test_files_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    ours = array({"kind": "measured", "path": str(path)})
    with pytest.raises(ConfigError, match="can't be read"):
        build_directivity(ours, 16000)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    alone = path.read_bytes()
    for odd in (b"response", b"", alone):
        path.write_bytes(odd)
        with pytest.raises(ConfigError, match="not an .npz file"):
            build_directivity(ours, 16000)
    np.savez(path, response=np.array([{"no": "numbers"}], dtype=object), direction=1, sample_rate_hz=1)
    with pytest.raises(ConfigError, match="not an .npz file"):
        build_directivity(ours, 16000)


def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **free_field())
    claims = io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (10**10, 3, 64)}
    np.lib.format.write_array_header_1_0(claims, shape)
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("response.npy", claims.getvalue() + bytes(100))
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("response.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(450):
            member.write(bytes(1_000_000))
    for name, said in (
        ("huge", "claims more than this computer's memory|not an .npz"),
        ("bomb", "unpacks to 450,000,000"),
    ):
        with pytest.raises(ConfigError, match=said):
            build_directivity(array({"kind": "measured", "path": str(tmp_path / f"{name}.npz")}), 16000)


def write_sofa(path: Path, turned: bool) -> None:
    """Write the free field as SimpleFreeFieldHRIR; `turned`: the listener looks left, and sources turn with it."""
    import h5py

    fields = free_field()
    x, y, z = fields["direction"].T / 2.5
    azimuth_deg = np.degrees(np.arctan2(y, x)) + (90.0 if turned else 0.0)
    source = np.stack([azimuth_deg % 360.0, np.degrees(np.arcsin(z)), np.full(len(x), 1.2)], axis=1)
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = "SOFA"
        file.attrs["SOFAConventions"] = "SimpleFreeFieldHRIR"
        file["Data.IR"] = np.stack([np.roll(fields["response"][:, m], -9 * m, axis=1) for m in range(3)], axis=1)
        file["Data.SamplingRate"] = np.array([float(FILE_RATE_HZ)])
        file["Data.SamplingRate"].attrs["Units"] = "hertz"
        file["Data.Delay"] = [[0.0, 9.0, 18.0]]
        file["SourcePosition"] = source
        file["SourcePosition"].attrs["Type"] = "spherical"
        file["ListenerPosition"] = np.zeros((1, 3))
        file["ListenerView"] = [[0.0, 1.0, 0.0]] if turned else [[1.0, 0.0, 0.0]]
        file["ListenerView"].attrs["Type"] = "cartesian"
        file["ListenerUp"] = [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize("turned", [False, True])
def test_a_sofa_file_of_the_free_field_is_an_impulse(tmp_path: Path, turned: bool) -> None:
    path = tmp_path / "free.sofa"
    write_sofa(path, turned)
    check_is_free_field(build_directivity(array({"kind": "sofa", "path": str(path)}), 16000))


def test_what_is_not_sofa_is_refused(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "head.sofa"
    ours = array({"kind": "sofa", "path": str(path)})
    with pytest.raises(ConfigError, match="can't be read as HDF5"):
        build_directivity(ours, 16000)
    path.write_text("SOFA")
    with pytest.raises(ConfigError, match="can't be read as HDF5"):
        build_directivity(ours, 16000)
    with h5py.File(path, "w") as file:
        file.attrs["SOFAConventions"] = "GeneralTF"
    with pytest.raises(ConfigError, match=r"lacks Data\.IR.*convention: GeneralTF"):
        build_directivity(ours, 16000)
    write_sofa(path, turned=False)
    with h5py.File(path, "a") as file:
        del file["SourcePosition"]
        file["SourcePosition"] = np.zeros((7, 3))
    with pytest.raises(ConfigError, match="don't fit one another"):
        build_directivity(ours, 16000)


@pytest.mark.parametrize(
    ("name", "made", "said"),
    [
        ("Data.SamplingRate", {"data": np.zeros(0)}, "its Data.SamplingRate is empty"),
        ("Data.SamplingRate", {"data": "48000"}, "Data.SamplingRate holds no numbers"),
        ("Data.IR", {"data": "hello"}, "Data.IR holds no numbers"),
        (
            "Data.IR",
            {"shape": (10**7, 3, 10**5), "chunks": (1, 3, 1000), "dtype": "f8"},
            "Data.IR claims 3,000,000,000,0",
        ),
    ],
)
def test_a_sofa_file_of_other_things_is_refused(tmp_path: Path, name: str, made: dict[str, Any], said: str) -> None:
    import h5py

    path = tmp_path / "odd.sofa"
    write_sofa(path, turned=False)
    with h5py.File(path, "a") as file:
        del file[name]
        file.create_dataset(name, **made)
    with pytest.raises(ConfigError, match=said):
        build_directivity(array({"kind": "sofa", "path": str(path)}), 16000)


def test_without_h5py_a_sofa_file_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"pip install 'phonotaxis\[sofa\]'"):
        build_directivity(array({"kind": "sofa", "path": "head.sofa"}), 16000)
