from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from phonotaxis.envs import sounds
from phonotaxis.envs.sounds import bank as sound_bank
from phonotaxis.envs.sounds import files as sound_files
from phonotaxis.envs.sounds.sound import active_rms, activity, longest_pause_s, loop, make_sound

RATE_HZ = 16000
RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "sounds"


@pytest.fixture(scope="module")
def bank() -> list[sounds.Sound]:
    return sounds.load_bank(seed=3, instances_per_kind=2, sample_rate_hz=RATE_HZ)


def tone(seconds: float, rate_hz: int = RATE_HZ, hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2.0 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def third_octaves_db(samples: np.ndarray) -> np.ndarray:
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(samples.size, 1.0 / RATE_HZ)
    centres_hz = 250.0 * 2.0 ** (np.arange(15) / 3.0)
    bands = [power[(hz >= c * 2 ** (-1 / 6)) & (hz < c * 2 ** (1 / 6))].sum() for c in centres_hz]
    return 10.0 * np.log10(np.array(bands) / max(bands) + 1e-12)


# The bank.


def test_every_sound_has_its_form(bank: list[sounds.Sound]) -> None:
    assert len(bank) == 2 * len(sounds.GENERATORS)
    assert len(sounds.GENERATORS) >= 12
    assert len({sound.name for sound in bank}) == len(bank)
    for sound in bank:
        assert sound.samples.dtype == np.float32
        assert np.isfinite(sound.samples).all()
        assert 2.0 <= sound.duration_s <= 6.0, sound.name
        assert active_rms(sound.samples, RATE_HZ) == pytest.approx(1.0, abs=1e-3), sound.name
        assert not sound.samples.flags.writeable


def test_no_sound_pauses_for_long_not_even_over_its_seam(bank: list[sounds.Sound]) -> None:
    pauses = {sound.name: longest_pause_s(sound.samples, RATE_HZ) for sound in bank}
    assert max(pauses.values()) <= 0.6, pauses


def test_every_sound_is_broad_enough_to_be_localised(bank: list[sounds.Sound]) -> None:
    # Within 30 dB of its strongest third octave a sound must have at least six: two octaves of phases.
    widths = {sound.name: int((third_octaves_db(sound.samples) > -30.0).sum()) for sound in bank}
    assert min(widths.values()) >= 6, widths


def test_no_sound_clicks_at_its_seam(bank: list[sounds.Sound]) -> None:
    for sound in bank:
        step = np.abs(np.diff(np.concatenate([sound.samples, sound.samples[:1]])))
        assert step[-1] <= step[:-1].max(), sound.name


def test_same_seed_same_bits_and_other_seed_other_sounds() -> None:
    first, again = (sounds.make("speech", seed=5) for _ in range(2))
    other = sounds.make("speech", seed=6)
    assert first.samples.tobytes() == again.samples.tobytes()
    assert first.samples.tobytes() != other.samples.tobytes()


def test_a_sound_does_not_depend_on_the_bank_around_it(bank: list[sounds.Sound]) -> None:
    alone = sounds.make("water", seed=3, instance=1)
    (within,) = (sound for sound in bank if sound.name == alone.name)
    assert alone.samples.tobytes() == within.samples.tobytes()


def test_the_splits_share_no_sound_and_the_unheard_no_kind() -> None:
    trained = sounds.load_bank(0, 1, kinds=sounds.TRAINING_KINDS, split="train")
    unheard = sounds.load_bank(0, 1, kinds=sounds.HELD_OUT_KINDS, split="test")
    heard = sounds.load_bank(0, 1, kinds=sounds.TRAINING_KINDS, split="test")
    assert not {s.kind for s in trained} & {s.kind for s in unheard}
    assert {s.kind for s in trained} == {s.kind for s in heard}
    assert not {s.samples.tobytes() for s in trained} & {s.samples.tobytes() for s in heard}
    of_splits = [set(kinds) for kinds in (*sounds.KINDS_OF.values(), sounds.INVENTED_KINDS)]
    assert set.union(*of_splits) == set(sounds.GENERATORS)
    assert sum(map(len, of_splits)) == len(sounds.GENERATORS)


def test_no_two_invented_sounds_are_alike() -> None:
    """Of one kind spectra differ by more, in the mean, than those of a kind that something makes."""

    def apart_db(kind: str) -> float:
        shapes = np.array([third_octaves_db(sounds.make(kind, 0, number).samples) for number in range(8)])
        return float(np.abs(shapes[:, None] - shapes[None]).mean())

    invented = np.mean([apart_db(kind) for kind in sounds.INVENTED_KINDS])
    assert invented > 1.3 * np.mean([apart_db(kind) for kind in sounds.TRAINING_KINDS])


@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_generators_work_at_other_rates(rate_hz: int) -> None:
    for sound in sounds.load_bank(1, 1, rate_hz):
        assert 2.0 <= sound.duration_s <= 6.0
        assert np.isfinite(sound.samples).all()
        assert active_rms(sound.samples, rate_hz) == pytest.approx(1.0, abs=1e-3)


def test_the_bank_refuses_what_it_cannot_make() -> None:
    with pytest.raises(sounds.SoundError, match="did you mean 'kettle'"):
        sounds.make("ketle", seed=0)
    with pytest.raises(sounds.SoundError, match="unknown split 'valid'"):
        sounds.make("kettle", seed=0, split="valid")
    with pytest.raises(sounds.SoundError, match="8000..96000, got 100"):
        sounds.make("kettle", seed=0, sample_rate_hz=100)
    with pytest.raises(sounds.SoundError, match="0 instances"):
        sounds.load_bank(0, 0)
    assert sound_bank.SPLITS[:2] == ("train", "test")  # the order keys the random streams


# Level and loop.


def test_the_level_counts_active_time_only() -> None:
    # One second of a sine of amplitude 1, then one of silence: the gate's hangover of 0.2 s spreads the
    # sine's energy over 1.2 s.
    wave = np.concatenate([2.0 * tone(1.0), np.zeros(RATE_HZ)])
    assert active_rms(wave, RATE_HZ) == pytest.approx(np.sqrt(0.5 / 1.2), rel=0.01)
    assert active_rms(2.0 * tone(1.0), RATE_HZ) == pytest.approx(np.sqrt(0.5), rel=1e-3)


def test_faint_noise_between_sounds_is_no_activity() -> None:
    rng = np.random.default_rng(0)
    wave = np.concatenate([2.0 * tone(1.0), np.zeros(RATE_HZ)]) + 1e-3 * rng.standard_normal(2 * RATE_HZ)
    assert activity(wave, RATE_HZ).mean() == pytest.approx(0.6, abs=0.02)
    assert longest_pause_s(wave, RATE_HZ) == pytest.approx(1.0, abs=0.02)


def test_the_loop_continues_where_the_sound_went_on() -> None:
    wave = tone(0.5, hz=123.4)
    looped = loop(wave, 320)
    assert looped.size == wave.size - 320
    assert looped[0] == pytest.approx(wave[looped.size])  # what followed the last sample follows it still
    step = np.abs(np.diff(np.concatenate([looped, looped[:1]])))
    assert step[-1] <= 2.0 * np.abs(np.diff(wave)).max()


def test_a_constant_is_silence() -> None:
    with pytest.raises(sounds.SoundError, match=r"^hum: silent"):
        make_sound("hum", "recording", np.full(16000, 0.3), RATE_HZ)


def test_a_sound_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(sounds.SoundError, match="expected float32"):
        sounds.Sound("x", "recording", np.zeros(10), RATE_HZ)


# Files.


@pytest.mark.parametrize(("suffix", "subtype"), [(".wav", "PCM_16"), (".flac", "PCM_24"), (".ogg", "VORBIS")])
@pytest.mark.parametrize("rate_hz", [8000, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_formats_rates_and_channels(tmp_path: Path, suffix: str, subtype: str, rate_hz: int, channels: int) -> None:
    path = tmp_path / f"tone{suffix}"
    soundfile.write(path, np.tile(tone(0.6, rate_hz)[:, None], (1, channels)), rate_hz, subtype=subtype)
    sound = sounds.load_file(path, RATE_HZ)
    assert sound.name == path.name
    assert sound.kind == "recording"
    assert sound.duration_s == pytest.approx(0.58, abs=0.02)  # the seam takes 20 ms
    spectrum = np.abs(np.fft.rfft(sound.samples))
    assert np.argmax(spectrum) * RATE_HZ / sound.samples.size == pytest.approx(440.0, abs=3.0)


def test_odd_rates_keep_the_pitch(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "odd.wav", tone(2.0, 11127), 11127)
    sound = sounds.load_file(tmp_path / "odd.wav", RATE_HZ)
    spectrum = np.abs(np.fft.rfft(sound.samples))
    assert np.argmax(spectrum) * RATE_HZ / sound.samples.size == pytest.approx(440.0, abs=0.6)


def test_channels_that_cancel_are_not_silence(tmp_path: Path) -> None:
    left = tone(0.5)
    soundfile.write(tmp_path / "wide.wav", np.stack([left, -0.8 * left], axis=1), RATE_HZ)
    soundfile.write(tmp_path / "opposed.wav", np.stack([left, -left], axis=1), RATE_HZ)
    for sound in sounds.load_folder(tmp_path):
        assert active_rms(sound.samples, RATE_HZ) == pytest.approx(1.0, abs=1e-3)


def test_silence_at_the_ends_is_trimmed(tmp_path: Path) -> None:
    gap = np.zeros(2 * RATE_HZ)
    soundfile.write(tmp_path / "a.wav", np.concatenate([gap, tone(1.0), gap]), RATE_HZ)
    assert sounds.load_file(tmp_path / "a.wav").duration_s == pytest.approx(1.2, abs=0.05)


def test_of_a_long_file_the_first_minute_is_taken(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.tile(tone(1.0, 8000), 660), 8000)
    assert sounds.load_file(tmp_path / "long.wav").duration_s == pytest.approx(60.0, abs=0.1)


def test_huge_and_tiny_floats_are_scaled(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "huge.wav", 1e37 * tone(0.5), RATE_HZ, subtype="FLOAT")
    soundfile.write(tmp_path / "tiny.wav", 1e-3 * tone(0.5), RATE_HZ, subtype="FLOAT")
    huge, tiny = sounds.load_folder(tmp_path)
    np.testing.assert_allclose(huge.samples, tiny.samples, atol=1e-3)


def bad_files(folder: Path) -> dict[str, str]:
    """Write one file of every fault; return each one's name and what the error must say of it."""
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.ogg").write_text("import os; os.system('true')")
    (folder / "noise.flac").write_bytes(np.random.default_rng(0).bytes(4096))
    soundfile.write(folder / "headeronly.wav", np.zeros(0), RATE_HZ)
    soundfile.write(folder / "silent.wav", np.zeros(RATE_HZ), RATE_HZ)
    soundfile.write(folder / "offset.wav", np.full(RATE_HZ, 0.25), RATE_HZ)
    soundfile.write(folder / "short.wav", tone(0.03), RATE_HZ)
    for name, value in (("nan.wav", np.nan), ("inf.wav", np.inf)):
        wave = tone(0.5)
        wave[100] = value
        soundfile.write(folder / name, wave, RATE_HZ, subtype="FLOAT")
    soundfile.write(folder / "slow.wav", tone(0.5), 4)
    return {
        "empty.wav": "the file is empty",
        "text.ogg": "not audio",
        "noise.flac": "not audio",
        "headeronly.wav": "zero length",
        "silent.wav": "silent",
        "offset.wav": "silent",
        "short.wav": "too short: 30.0 ms",
        "nan.wav": "1 samples are NaN or infinite",
        "inf.wav": "1 samples are NaN or infinite",
        "slow.wav": "4 samples a second",
    }


def test_one_error_names_every_bad_file_and_its_fault(tmp_path: Path) -> None:
    expected = bad_files(tmp_path)
    soundfile.write(tmp_path / "good.wav", tone(0.5), RATE_HZ)
    with pytest.raises(sounds.SoundError) as caught:
        sounds.load_folder(tmp_path)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{tmp_path}: 10 of 11 files can't be used; mend or remove them:"
    said = dict(line.strip().split(": ", 1) for line in lines)
    assert sorted(said) == sorted(expected)
    for name, what in expected.items():
        assert what in said[name]


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_file_cut_short_is_read_or_refused_in_words(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    soundfile.write(path, tone(2.0), RATE_HZ)
    whole = path.read_bytes()
    outcomes = set()
    for share in (0.002, 0.05, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        outcomes.add(outcome_of(path))
    assert "refused" in outcomes
    assert "read wrongly" not in outcomes


def outcome_of(path: Path) -> str:
    try:
        sound = sounds.load_file(path)
    except sounds.SoundError:
        return "refused"
    return "read" if np.isfinite(sound.samples).all() and sound.duration_s < 2.0 else "read wrongly"


def test_folders_without_sounds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(sounds.SoundError, match="no such folder"):
        sounds.load_folder(tmp_path / "absent")
    with pytest.raises(sounds.SoundError, match="no WAV, FLAC or OGG"):
        sounds.load_folder(tmp_path)
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    (tmp_path / ".hidden.wav").write_bytes(b"")
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(sounds.SoundError, match=r"it holds files such as song\.mp3"):
        sounds.load_folder(tmp_path)
    with pytest.raises(sounds.SoundError, match="is a file, expected a folder"):
        sounds.load_folder(tmp_path / "song.mp3")
    with pytest.raises(sounds.SoundError, match="no such file"):
        sounds.load_file(tmp_path / "absent.wav")


def test_a_folder_of_too_much_sound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_files, "MOST_SECONDS", 0.9)
    for name in ("a.WAV", "b.wav"):
        soundfile.write(tmp_path / name, tone(0.5), RATE_HZ)
    with pytest.raises(sounds.SoundError, match="use a folder with less"):
        sounds.load_folder(tmp_path)


def test_a_name_that_a_terminal_would_obey_is_made_harmless(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "evil\x1b[2J\n.wav", tone(0.5), RATE_HZ)
    (sound,) = sounds.load_folder(tmp_path)
    assert sound.name == "evil?[2J?.wav"


def test_a_name_may_be_of_any_bytes(tmp_path: Path) -> None:
    name = tmp_path / os.fsdecode(b"gr\xfc\xdfe.wav")  # Latin-1
    soundfile.write(os.fsencode(name), tone(0.5), RATE_HZ)
    (sound,) = sounds.load_folder(tmp_path)
    assert sound.name == "gr??e.wav"


def test_what_the_sample_rate_leaves_nothing_of_is_silent(tmp_path: Path) -> None:
    """A bat's call, say: what is left of it at 16 kHz is what the filter lets through."""
    call = 0.2 * np.hanning(24000) * tone(0.5, 48000, 20000.0)
    soundfile.write(tmp_path / "bat.wav", call, 48000, subtype="FLOAT")
    assert sounds.load_file(tmp_path / "bat.wav", 48000).samples.any()
    with pytest.raises(sounds.SoundError, match=r"bat\.wav: silent below 8000 Hz"):
        sounds.load_file(tmp_path / "bat.wav", RATE_HZ)


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the shared recordings are not on this machine")
def test_real_recordings() -> None:
    loaded = sounds.load_folder(RECORDINGS)
    assert [s.name for s in loaded] == sorted(p.name for p in RECORDINGS.glob("*.wav"))
    for sound in loaded:
        assert longest_pause_s(sound.samples, RATE_HZ) < 1.0
        assert active_rms(sound.samples, RATE_HZ) == pytest.approx(1.0, abs=1e-3)


def test_raw_samples_are_refused_in_words(tmp_path: Path) -> None:
    """Soundfile goes by the name, and wants to be told rate and form."""
    (tmp_path / "x.raw").write_bytes(bytes(1000))
    with pytest.raises(sounds.SoundError, match="raw samples without rate"):
        sounds.load_file(tmp_path / "x.raw", RATE_HZ)
