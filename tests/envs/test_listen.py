from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.envs import scenes, sounds
from phonotaxis.envs.listen import ListenError, video
from phonotaxis.envs.listen.pictures import HEIGHT_PX, VIEW_PX, WIDTH_PX, Film, draw_map
from phonotaxis.envs.listen.poses import MAX_SPEED_MPS, headings, poses_along
from phonotaxis.envs.listen.route import END_M, EYE_M, SPACING_M, Route, plan_route
from phonotaxis.envs.listen.sound import HOP_S, Heard, Stereo, choose_ears, hear_walk, load_sound, write_wav
from phonotaxis.envs.scenes.plan import plan_of
from phonotaxis.envs.scenes.raycast import line_of_sight
from phonotaxis.envs.scenes.scene import Scene, SceneError
from phonotaxis.envs.scenes.walk import clearance_m
from phonotaxis.envs.sounds import Sound, SoundError
from phonotaxis.envs.sounds.sound import make_sound
from phonotaxis.envs.truth.click import voiced_tone

RATE_HZ = 16000
HOP = round(HOP_S * RATE_HZ)


@pytest.fixture(scope="module")
def hall() -> Scene:
    """One room of 12 m x 6 m, damped: the direct sound is heard above the reverberation."""
    damped = {"walls": "curtain", "floor": "carpet", "ceiling": "acoustic_ceiling"}
    return scenes.load("empty_room", size_m=[12.0, 6.0], height_m=3.0, **damped)


@pytest.fixture(scope="module")
def straight(hall: Scene) -> Route:
    x0, y0 = hall.origin_m
    return plan_route(hall, (x0 + 1.5, y0 + 2.0), (x0 + 10.5, y0 + 3.0))


def array_of(name: str) -> MicrophoneArray:
    return presets.load("arrays", name, MicrophoneArray)


def hum() -> Sound:
    return make_sound("hum", "hum", voiced_tone(), RATE_HZ)


def room_of(scene: Scene, xy_m: np.ndarray) -> int:
    return int(scene.room[scene.cell_of(float(xy_m[0]), float(xy_m[1]))])


def divided(gap_cells: int) -> Scene:
    """Divide a room by a wall with a gap at its end."""
    scene = scenes.load("empty_room", size_m=[6.0, 3.0])
    floor = scene.floor_m.copy()
    rows, middle = floor.shape[0] - 1 - gap_cells, floor.shape[1] // 2
    floor[:rows, middle] = scene.ceiling_m[:rows, middle]
    grids = {name: getattr(scene, name) for name in ("side_material", "floor_material", "ceiling_material", "room")}
    return Scene("divided", scene.cell_m, scene.origin_m, floor, scene.ceiling_m, scene.height_m, **grids)


@pytest.mark.parametrize("seed", range(4))
def test_a_drawn_walk_comes_through_a_door_from_out_of_sight(seed: int) -> None:
    scene, plan = (found := scenes.load("apartment", seed=seed)), plan_of(found)
    route = plan_route(scene, seed=seed, length_m=6.0)
    start, source = route.path_m[0], route.source_m
    assert route.doors >= 1
    assert room_of(scene, start) != room_of(scene, np.array(source))
    assert not line_of_sight(plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, *start, EYE_M, *source)
    assert route.length_m == pytest.approx(6.0, rel=0.25)


@pytest.mark.parametrize("seed", range(4))
def test_a_route_keeps_off_the_walls_and_bends_gently(seed: int) -> None:
    scene = scenes.load("apartment", seed=seed)
    path = plan_route(scene, seed=seed).path_m
    room_m = clearance_m(scene)
    assert min(room_m[scene.cell_of(x, y)] for x, y in path) >= 0.1
    assert np.hypot(*np.diff(path, axis=0).T) == pytest.approx(SPACING_M, abs=0.2 * SPACING_M)
    per_metre = np.abs(np.diff(headings(path))) / SPACING_M
    assert per_metre.max() < 4.0  # a circle of 25 cm


def test_where_there_is_one_room_the_walk_still_begins_out_of_sight() -> None:
    scene, plan = (found := divided(gap_cells=9)), plan_of(found)
    for seed in range(4):
        route = plan_route(scene, seed=seed, length_m=3.0)
        ends = (*route.path_m[0], EYE_M, *route.source_m)
        assert not line_of_sight(plan.floor, plan.ceiling, plan.inv, plan.ox, plan.oy, *ends)
        assert route.doors == 0


def test_a_seed_draws_the_same_walk_and_another_one_another() -> None:
    scene = scenes.load("apartment", seed=1)
    assert np.array_equal(plan_route(scene, seed=5).path_m, plan_route(scene, seed=5).path_m)
    assert not np.array_equal(plan_route(scene, seed=5).path_m[0], plan_route(scene, seed=6).path_m[0])


def test_given_ends_are_kept(hall: Scene, straight: Route) -> None:
    x0, y0 = hall.origin_m
    assert straight.path_m[0] == pytest.approx([x0 + 1.5, y0 + 2.0])
    assert straight.source_m == pytest.approx((x0 + 10.5, y0 + 3.0, 1.2))
    assert np.hypot(*(straight.path_m[-1] - straight.source_m[:2])) == pytest.approx(END_M, abs=2 * SPACING_M)
    assert straight.doors == 0


def test_a_given_start_is_walked_from_and_the_source_drawn() -> None:
    scene = scenes.load("apartment", seed=2)
    start = plan_route(scene, seed=2).path_m[0]
    route = plan_route(scene, start_m=tuple(start), seed=9)
    assert route.path_m[0] == pytest.approx(start)
    assert route.doors >= 1


def test_points_nobody_can_be_at_are_named(hall: Scene) -> None:
    x0, y0 = hall.origin_m
    inside = (x0 + 3.0, y0 + 3.0)
    with pytest.raises(SceneError, match="the start at .* lies outside"):
        plan_route(hall, (x0 - 50.0, y0), inside)
    with pytest.raises(SceneError, match="the source at .* lies in a wall"):
        plan_route(hall, inside, (x0 + 0.01, y0 + 3.0))
    with pytest.raises(SceneError, match="the source at .* 9.00"):
        plan_route(hall, inside, (x0 + 8.0, y0 + 3.0, 9.0))
    with pytest.raises(ListenError, match="begin further away"):
        plan_route(hall, inside, (inside[0] + 0.3, inside[1]))


def test_no_walk_through_a_wall() -> None:
    scene = divided(gap_cells=0)
    (x0, y0), (rows, columns) = scene.origin_m, scene.shape
    y, width = y0 + 0.5 * rows * scene.cell_m, columns * scene.cell_m
    with pytest.raises(ListenError, match="no walk leads from"):
        plan_route(scene, (x0 + 0.2 * width, y), (x0 + 0.8 * width, y))


def test_a_walk_begins_and_ends_softly_and_looks_ahead(straight: Route) -> None:
    poses = poses_along(straight, 10.0, 50.0)
    assert poses.shape == (500, 3)
    speed = np.hypot(*np.diff(poses[:, :2], axis=0).T) * 50.0
    assert speed[0] < 0.1 * speed.max() > speed[-1]
    assert speed.max() == pytest.approx(straight.length_m / (10.0 - 0.8), rel=0.02)
    assert poses[-1, :2] == pytest.approx(straight.path_m[-1], abs=0.01)
    ahead = np.arctan2(1.0, 9.0)
    assert poses[:, 2] == pytest.approx(ahead, abs=0.05)


def test_nobody_runs(straight: Route) -> None:
    with pytest.raises(ListenError, match=f"at most {MAX_SPEED_MPS:g} are walked; allow it"):
        poses_along(straight, 2.0, 50.0)


def test_the_level_rises_towards_a_source_in_sight(hall: Scene, straight: Route) -> None:
    hiss = make_sound("hiss", "hiss", np.random.default_rng(0).standard_normal(3 * RATE_HZ), RATE_HZ)
    heard = hear_walk(hall, straight.source_m, hiss, poses_along(straight, 6.0, 1.0 / HOP_S))
    assert heard.audio.shape == (2, 6 * RATE_HZ)
    assert heard.in_sight.all()
    power = np.square(heard.audio.astype(np.float64)).reshape(2, 6, -1).mean(axis=(0, 2))
    level_db = 10.0 * np.log10(power)
    assert (np.diff(level_db[1:]) > 0.0).all(), level_db
    assert level_db[-1] - level_db[0] > 6.0


def boundary_over_middle_db(audio: np.ndarray) -> float:
    """Compare the energy above 3 kHz in the 5 ms about hops' boundaries with that in the 5 ms about their middles."""
    high = scipy.signal.butter(6, 3000.0, "highpass", fs=RATE_HZ, output="sos")
    energy = np.square(scipy.signal.sosfiltfilt(high, audio.astype(np.float64), axis=1)).mean(axis=0)
    part = energy.reshape(-1, 8, HOP // 8).mean(axis=2)[1:-1]
    return float(10.0 * np.log10((part[:, [0, 7]].mean(axis=1) / part[:, [3, 4]].mean(axis=1)).mean()))


def test_hops_are_not_heard(hall: Scene, straight: Route) -> None:
    poses = poses_along(straight, 12.0, 1.0 / HOP_S)[100:300]
    heard = hear_walk(hall, straight.source_m, hum(), poses, level_db_spl=100.0)
    assert abs(boundary_over_middle_db(heard.audio)) < 2.0
    stepped = heard.audio * np.repeat(1.0 + 0.1 * (np.arange(len(poses)) % 2), HOP)
    assert boundary_over_middle_db(stepped) > 2.0  # a step of 10 % at each boundary is found


def test_what_stands_to_the_left_reaches_the_left_ear_first(hall: Scene) -> None:
    x0, y0 = hall.origin_m
    here, source = (x0 + 6.0, y0 + 2.0), (x0 + 6.0, y0 + 4.5, 0.5)
    clap = sounds.make("applause", 0, sample_rate_hz=RATE_HZ)
    heard = hear_walk(hall, source, clap, np.tile([*here, 0.0], (50, 1)), level_db_spl=90.0)
    ears = choose_ears(array_of("binaural"))
    left, right = heard.audio[ears.left].astype(np.float64), heard.audio[ears.right].astype(np.float64)
    lags = np.arange(-20, 21)
    match = [float((left[40:-40] * np.roll(right, -lag)[40:-40]).sum()) for lag in lags]
    assert 6 <= lags[int(np.argmax(match))] <= 14  # 17 cm are 8 samples, round a head up to 11


def test_ears_are_the_outermost_microphones() -> None:
    assert choose_ears(array_of("binaural"))[:2] == (0, 1)
    array = array_of("respeaker_usb_v2")
    ears = choose_ears(array)
    y_m = array.positions_m()[:, 1]
    assert y_m[ears.left] == y_m.max()
    assert y_m[ears.right] == y_m.min()
    assert f"microphones {ears.left} and {ears.right} of respeaker_usb_v2" in ears.words
    with pytest.raises(ListenError, match="'foa' has no two microphones side by side"):
        choose_ears(array_of("foa"))


def test_sounds_are_heard_at_48_khz_where_they_have_that_much(tmp_path: Path) -> None:
    assert load_sound("siren").sample_rate_hz == 48000
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 22050)
    for rate_hz, expected_hz in ((44100, 48000), (22050, 16000)):
        soundfile.write(tmp_path / "noise.wav", noise, rate_hz)
        assert load_sound(str(tmp_path / "noise.wav")).sample_rate_hz == expected_hz
    named = tmp_path / os.fsdecode(b"gr\xfc\xdfe.wav")  # Latin-1
    soundfile.write(os.fsencode(named), noise, 44100)
    assert load_sound(str(named)).sample_rate_hz == 48000
    with pytest.raises(SoundError, match="did you mean 'telephone'"):
        load_sound("telefone")
    with pytest.raises(SoundError, match="absent.wav: no such file"):
        load_sound(str(tmp_path / "absent.wav"))


def test_the_wav_peaks_at_3_db_below_full_scale_and_says_by_what_gain(tmp_path: Path) -> None:
    audio = np.zeros((3, 4800), dtype=np.float32)
    audio[0, 2000], audio[2, 1000] = 0.01, -0.005
    heard = Heard(audio, 48000, np.ones(5, dtype=np.bool_))
    gain_db = write_wav(tmp_path / "walk.wav", heard, Stereo(2, 0, ""))
    samples, rate_hz = soundfile.read(tmp_path / "walk.wav")
    assert (samples.shape, rate_hz) == ((4800, 2), 48000)
    assert gain_db == pytest.approx(37.0)
    assert samples[2000, 1] == pytest.approx(10 ** (-3 / 20), abs=1e-4)
    assert samples[1000, 0] == pytest.approx(-0.5 * 10 ** (-3 / 20), abs=1e-4)
    with pytest.raises(ListenError, match="raise the level"):
        write_wav(
            tmp_path / "silent.wav", Heard(np.zeros((2, 4800), np.float32), 48000, heard.in_sight), Stereo(0, 1, "")
        )


def test_the_map_knows_where_metres_lie(hall: Scene, straight: Route) -> None:
    drawn = draw_map(hall, straight)
    x, y = drawn.place(*straight.source_m[:2])
    red, _, blue = (int(v) for v in drawn.image[round(y), round(x)])
    assert red > blue + 60  # the dot of the source
    x_end, _ = drawn.place(straight.source_m[0] + 1.0, straight.source_m[1])
    assert x_end - x == pytest.approx(drawn.px_per_m)


def test_a_frame_shows_the_walker_and_what_it_sees(hall: Scene, straight: Route) -> None:
    poses = poses_along(straight, 6.0, 50.0)
    stereo = np.random.default_rng(0).standard_normal((2, 6 * RATE_HZ)) * 0.1
    film = Film(hall, straight, stereo, RATE_HZ)
    frames = list(film.frames(poses[::50], np.arange(6) > 2, 1.0, 1.0))
    assert [frame.shape for frame in frames] == [(HEIGHT_PX, WIDTH_PX, 3)] * 6
    assert frames[0].dtype == np.uint8
    views = [frame[: VIEW_PX[1], -VIEW_PX[0] :].astype(int) for frame in frames]
    assert np.abs(views[0] - views[-1]).mean() > 1.0  # it moves
    hidden, shown = film.frame(poses[0], 0.0, False).astype(int), film.frame(poses[0], 0.0, True).astype(int)
    marked = np.argwhere(np.abs(shown - hidden)[: VIEW_PX[1], -VIEW_PX[0] :].sum(axis=2) > 0)
    # the source lies ahead, above the camera
    assert marked.mean(axis=0)[1] == pytest.approx(VIEW_PX[0] / 2, abs=12)
    assert marked.mean(axis=0)[0] < VIEW_PX[1] / 2


def fake_ffmpeg(folder: Path, encoders: str, last_words: str = "") -> str:
    """Write a program that lists encoders and fails at everything else."""
    program = folder / "ffmpeg"
    program.write_text(
        f"#!/bin/sh\ncase \"$*\" in *-encoders*) echo '{encoders}';; *) echo '{last_words}' >&2; exit 1;; esac\n"
    )
    program.chmod(0o755)
    return str(program)


def test_the_best_codec_is_taken(tmp_path: Path) -> None:
    assert video.choose_codec(fake_ffmpeg(tmp_path, " V..... mpeg4 MPEG-4 part 2\n V..... libx264 H.264")) == "libx264"
    assert video.choose_codec(fake_ffmpeg(tmp_path, " V..... mpeg4 MPEG-4 part 2")) == "mpeg4"
    with pytest.raises(ListenError, match="can encode none of libx264"):
        video.choose_codec(fake_ffmpeg(tmp_path, " V..... gif"))


def test_ffmpeg_fails_in_its_own_words(tmp_path: Path) -> None:
    program = fake_ffmpeg(tmp_path, "mpeg4", "the disk is made of cheese")
    frames = [np.zeros((720, 1280, 3), np.uint8)] * 8
    with pytest.raises(ListenError, match="can't write the video .the disk is made of cheese"):
        video.write_video(tmp_path / "walk.mp4", frames, tmp_path / "walk.wav", program)
    with pytest.raises(ListenError, match="at least one frame"):
        video.write_video(tmp_path / "walk.mp4", [], tmp_path / "walk.wav", program)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffmpeg and ffprobe aren't installed")
def test_the_video_lasts_as_long_as_the_sound(tmp_path: Path) -> None:
    wav, ffmpeg = tmp_path / "walk.wav", video.find_ffmpeg()
    soundfile.write(wav, np.random.default_rng(0).uniform(-0.1, 0.1, (32000, 2)), 16000)
    frames = (np.full((64, 96, 3), shade, np.uint8) for shade in range(2 * video.FRAMES_PER_S))
    assert ffmpeg is not None
    assert video.write_video(tmp_path / "walk.mp4", frames, wav, ffmpeg) in ("libx264", "libopenh264", "mpeg4")
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", str(tmp_path / "walk.mp4")]
    streams = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]
    assert sorted(stream["codec_type"] for stream in streams) == ["audio", "video"]
    for stream in streams:
        assert float(stream["duration"]) == pytest.approx(2.0, abs=0.07)
