from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from phonotaxis import cli


@pytest.fixture
def beep(tmp_path: Path) -> str:
    """Record at 16 kHz, which is quick to render."""
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
    soundfile.write(tmp_path / "beep.wav", wave, 16000)
    return str(tmp_path / "beep.wav")


def test_a_walk_becomes_a_wav(tmp_path: Path, beep: str, capsys: pytest.CaptureFixture[str]) -> None:
    wav = tmp_path / "walk.wav"
    words = ["scene", "listen", "apartment", "--seed", "1", "--sound", beep, "--seconds", "2", "-o", str(wav), "--json"]
    assert cli.run(words) == 0
    streams = capsys.readouterr()
    figures = {name: figure["value"] for name, figure in json.loads(streams.out)["figures"].items()}
    samples, rate_hz = soundfile.read(wav)
    assert (samples.shape, rate_hz) == ((32000, 2), 16000)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() == pytest.approx(10 ** (-3 / 20), abs=1e-4)
    assert figures["sound"] == "beep.wav"
    assert figures["duration"] == 2.0
    assert figures["doors"] >= 1
    assert figures["gain"] > 0.0
    assert figures["video"] is None
    assert "microphones 0 and 1 of binaural" in streams.err


def test_without_ffmpeg_there_is_a_wav_and_a_line(
    tmp_path: Path, beep: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    walk = ["--from", "1,1.5", "--to", "4,1.5", "--seconds", "2", "--sound", beep]
    size = ["--option", "size_m=[6, 4]"]
    assert cli.run(["scene", "listen", "empty_room", *size, *walk, "-o", str(tmp_path / "walk.mp4"), "--json"]) == 0
    streams = capsys.readouterr()
    assert "no video: ffmpeg isn't installed" in streams.err
    assert json.loads(streams.out)["figures"]["video"]["value"] is None
    assert (tmp_path / "walk.wav").is_file()
    assert not (tmp_path / "walk.mp4").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--sound", "telefone"], "unknown kind of sound 'telefone'; did you mean 'telephone'?"),
        (["--array", "binoral"], "unknown preset 'binoral' in arrays; did you mean 'binaural'?"),
        (["--array", "foa"], "array 'foa' has no two microphones side by side"),
        (["--from", "1"], "--from 1: expected x,y in metres, e.g. --from 2.5,4"),
        (["--to", "1,2,3,4"], "--to 1,2,3,4: expected x,y or x,y,z in metres"),
        (["--to", "1;2"], "--to 1;2: expected x,y"),
        (["--to", "nan,1"], "the source at (nan, 1.00, 1.20) m lies outside empty_room"),
        (["--from", "-9,1"], "the start at (-9.00, 1.00, 0.50) m lies outside empty_room"),
        (["-o", "walk.mp3"], "--out walk.mp3: expected a name that ends in .wav or .mp4"),
        (["-o", "nowhere/walk.wav"], "--out nowhere/walk.wav: there is no folder nowhere; make it first"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_in_words_and_leave_no_file(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["scene", "listen", "empty_room", *words]) == 1
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_heard_is_not_replaced_by_the_hearing(
    tmp_path: Path, beep: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path(beep).read_bytes()
    for out in (beep, str(Path(beep).with_suffix(".mp4"))):
        assert cli.run(["scene", "listen", "empty_room", "--sound", beep, "-o", out]) == 1
        assert "which is to be heard" in capsys.readouterr().err
    assert Path(beep).read_bytes() == before
