"""The page's pieces without a browser: pictures, sound, map, and what is gathered."""

from __future__ import annotations

import dataclasses
import io
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.special import i0e, i1e

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.configs.geometry import pixel_rays
from phonotaxis.configs.robot import load_robot
from phonotaxis.deploy import messages
from phonotaxis.deploy.devices import AudioBlock, DepthFrame, OdometrySample
from phonotaxis.deploy.episode_reader import read_episode
from phonotaxis.deploy.replay_other import OtherReport, OtherStep
from phonotaxis.episode_page.gather import PageError, circular_std, gather
from phonotaxis.episode_page.page import episode_page
from phonotaxis.episode_page.pictures import DEPTH_PALETTE, depth_picture, png_rgb, spectrogram
from phonotaxis.episode_page.sound import louder, time_line, wav
from phonotaxis.episode_page.surroundings import CELL_M, commanded_way, obstacles, pose_at, way

RATE_HZ = 16_000


def opened(data: bytes) -> Any:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def test_a_depth_picture_shows_near_far_and_unknown() -> None:
    depth = np.array([[0.0, 0.1, 2.5], [10.0, 99.0, np.nan]], dtype=np.float32)
    pixels = np.asarray(opened(depth_picture(depth, 10.0)).convert("RGB"))
    assert pixels.shape == (2, 3, 3)
    for row, column in ((0, 0), (1, 2)):
        assert tuple(pixels[row, column]) == tuple(DEPTH_PALETTE[0])
    assert tuple(pixels[0, 2]) == tuple(DEPTH_PALETTE[1 + 127])  # a quarter of the range, half of its root
    assert tuple(pixels[1, 0]) == tuple(pixels[1, 1]) == tuple(DEPTH_PALETTE[255])
    assert opened(depth_picture(np.ones((480, 640), np.float32), 10.0)).size == (160, 120)


def test_a_picture_in_colours_reads_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    assert np.array_equal(np.asarray(opened(png_rgb(pixels))), pixels)


def test_a_tone_stands_at_its_height_in_the_spectrogram() -> None:
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = 0.1 * np.sin(2 * np.pi * 2000.0 * time_s) * (time_s > 1.0)
    tone += 1e-4 * np.random.default_rng(0).standard_normal(tone.size)
    levels = np.asarray(opened(spectrogram(tone, RATE_HZ)))
    assert levels.shape[0] == 128
    half = levels.shape[1] // 2
    darkest = levels[:, half + 4 :].argmax(axis=0)
    assert set(darkest) == {128 - 2000 * 128 // 8000 - 1} or set(darkest) == {128 - 2000 * 128 // 8000}
    assert levels[:, : half - 4].max() < levels[:, half + 4 :].max() - 100
    assert opened(spectrogram(np.zeros(10), RATE_HZ)).size == (1, 128)


def test_blocks_lie_where_they_were_heard_and_gaps_are_silent() -> None:
    def block(first: int, at_s: float, value: int) -> AudioBlock:
        return AudioBlock(np.full((2, 800), value, np.int16), first, int(at_s * 1e9))

    blocks = [
        block(0, 10.0, 1), block(800, 10.053, 2),  # 3 ms of jitter move nothing
        block(1600 + 8000, 10.6, 3),  # half a second is missing: placed by its capture time
        block(100, 11.0, 4),  # the stream began anew
    ]  # fmt: skip
    line = time_line(blocks, [1], RATE_HZ, 10_000_000_000, 11_050_000_000)
    assert line.shape == (1, 16_800)
    assert (line[0, :800] == 1).all()
    assert (line[0, 800:1600] == 2).all()
    assert (line[0, 1600:9600] == 0).all()
    assert (line[0, 9600:10_400] == 3).all()
    assert (line[0, 16_000:] == 4).all()
    assert not time_line(blocks, [0], RATE_HZ, 0, 1_000_000_000).any()  # all of it lies outside


def test_the_sound_is_raised_and_reads_back() -> None:
    samples = np.array([[0, 100, -200, 50], [1, 2, 3, 4]], dtype=np.int16)
    loud, gain = louder(samples)
    assert gain == pytest.approx(0.7 * 32768 / 200)
    assert abs(loud[0, 2]) == pytest.approx(0.7 * 32768, abs=1)
    with wave.open(io.BytesIO(wav(loud, RATE_HZ))) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, RATE_HZ, 2)
        assert np.array_equal(np.frombuffer(file.readframes(9), "<i2").reshape(-1, 2).T, loud)
    assert louder(np.zeros((1, 5), np.int16))[1] == 1.0


def test_the_way_adds_up_in_the_first_frame() -> None:
    quarter = np.pi / 2
    steps = [OdometrySample(1.0, 0.0, quarter, False, n * 10**9) for n in range(4)]
    poses = way(steps)
    assert poses[-1, 1:] == pytest.approx([0.0, 0.0, 2 * np.pi], abs=1e-12)  # a square
    assert poses[2, 1:3] == pytest.approx([1.0, 1.0])
    assert pose_at(poses, 5e8)[0] == pytest.approx(1.0)
    assert way([]).shape == (0, 4)
    statuses = [{"time_ns": 0, "v_mps": 1.0, "w_radps": 0.0}, {"time_ns": 2 * 10**9, "v_mps": 0.0, "w_radps": 1.0}]
    assert commanded_way(statuses)[-1, 1:] == pytest.approx([2.0, 0.0, 0.0])


def test_a_wall_stands_on_the_map_where_it_was_seen() -> None:
    robot = load_robot("simulated")
    camera = robot.camera.pinhole
    depth = np.full((camera.height, camera.width), 2.0 - camera.mount_xyz_m[0], dtype=np.float32)
    turned = way([OdometrySample(0.0, 0.0, 0.0, False, 0), OdometrySample(1.0, 0.0, np.pi / 2, False, 1)])
    cells = np.array(obstacles([DepthFrame(depth, 1)], turned, robot)) * CELL_M
    assert len(cells) > 10
    assert cells[:, 1].min() >= 1.9 - 1e-9  # the robot stood at (1, 0) and looked to +y
    assert cells[:, 1].max() <= 2.0 + 1e-9
    assert abs(cells[:, 0].mean() - 0.95) < 0.3


def test_the_floor_is_no_obstacle() -> None:
    robot = load_robot("simulated")
    camera: PinholeCamera = robot.camera.pinhole
    down = pixel_rays(camera)[..., 1]
    floor = np.where(down > 0.01, camera.mount_xyz_m[2] / np.maximum(down, 0.01), 0.0).astype(np.float32)
    assert obstacles([DepthFrame(floor, 0)], way([]), robot) == []


@pytest.mark.parametrize("kappa", [0.0, 0.01, 0.5, 4.0, 50.0, 5000.0, 1e6, 1e14])
def test_the_circular_standard_deviation_is_that_of_the_bessel_functions(kappa: float) -> None:
    exact = np.sqrt(-2.0 * np.log(max(i1e(kappa) / i0e(kappa), 1e-9)))
    assert circular_std(kappa) == pytest.approx(min(np.pi, exact), rel=1e-6, abs=1e-6)


def test_what_is_gathered_is_what_happened(golden: Path) -> None:
    episode = read_episode(golden / "robot.mcap")
    shown = gather(episode)
    steps = episode.steps()
    rows = shown["steps"]["rows"]
    assert [row["n"] for row in rows] == [step["step"] for step in steps]
    assert [row["action"] for row in rows] == [step["action_name"] for step in steps]
    assert rows[0]["t"] == pytest.approx(0.25, abs=0.01)
    assert np.diff([row["t"] for row in rows]) == pytest.approx(0.25, abs=0.02)
    assert shown["duration_s"] == pytest.approx(5.0, abs=0.3)
    assert {event["event"] for event in shown["events"]} >= {"armed", "ended_duration"}
    reasons = [status["reason"] for status in shown["safety"]]
    assert reasons[0] == "disarmed"
    assert "ok" in reasons
    assert len(shown["frames"]) == len(list(episode.depth()))
    part = gather(episode, from_s=2.0, to_s=3.0)
    assert part["duration_s"] == pytest.approx(1.0)
    assert 3 <= len(part["steps"]["rows"]) <= 5
    assert all(0 <= row["t"] <= 1.0 for row in part["steps"]["rows"])


def test_times_that_hold_nothing_are_refused(golden: Path) -> None:
    episode = read_episode(golden / "robot.mcap")
    with pytest.raises(PageError, match=r"the episode lasts (5|4\.\d) s"):
        gather(episode, from_s=60.0)
    silent = dataclasses.replace(episode, messages=[m for m in episode.messages if m.topic != messages.AUDIO_TOPIC])
    with pytest.raises(PageError, match="nothing to show"):
        gather(silent)


@pytest.mark.parametrize("change", [{"v_mps": float("nan")}, {"outputs": 7}, {"bearing": 1, "due_ns": "soon"}])
def test_a_damaged_step_is_an_error_in_words(golden: Path, change: dict[str, Any]) -> None:
    episode = read_episode(golden / "rollout.mcap")
    nth = next(index for index, m in enumerate(episode.messages) if m.topic == messages.STEP_TOPIC)
    data = json.dumps({**json.loads(episode.messages[nth].data), **change}).encode()  # NaN is written as NaN
    found = [dataclasses.replace(m, data=data) if index == nth else m for index, m in enumerate(episode.messages)]
    with pytest.raises(PageError, match="can't be used|aren't finite"):
        episode_page(gather(dataclasses.replace(episode, messages=found)))


def test_partings_stand_where_their_steps_do(repository: Path) -> None:
    episode = read_episode(repository / "tests/golden/robot.mcap")
    steps = [
        OtherStep(step["step"], 0.25 * at, "on", "off" if at % 5 == 4 else "on", at % 5 != 4, 0.0)
        for at, step in enumerate(episode.steps())
    ]
    for from_s in (0.0, 2.0):
        shown = gather(episode, other=OtherReport(tuple(steps), 0, "f" * 64), from_s=from_s)
        times = {row["n"]: row["t"] for row in shown["steps"]["rows"]}
        partings = shown["other"]["partings"]
        assert len(partings) == sum(number % 5 == 4 for number in times) > 1
        assert all(parting["t"] == times[parting["step"]] for parting in partings)


def test_no_more_frames_are_decoded_than_are_shown(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of an hour of a camera's frames is more than a computer's memory holds."""
    episode = read_episode(repository / "tests/golden/robot.mcap")
    decoded: list[int] = []
    decode = messages.decode_depth

    def count(data: bytes, capture_ns: int) -> DepthFrame:
        decoded.append(capture_ns)
        return decode(data, capture_ns)

    for module in ("phonotaxis.episode_page.gather", "phonotaxis.deploy.messages"):
        monkeypatch.setattr(f"{module}.decode_depth", count)
    monkeypatch.setattr("phonotaxis.episode_page.gather.MOST_FRAMES", 10)
    shown = gather(episode, to_s=4.0)
    assert len(decoded) == len(shown["frames"]) <= 10


def test_a_log_that_was_cut_says_so_at_its_top(repository: Path) -> None:
    episode = read_episode(repository / "tests/golden/robot.mcap")
    assert gather(episode)["ended"] == episode.health()[-1]["message"]
    cut = dataclasses.replace(episode, messages=episode.messages[:150])
    assert gather(cut)["ended"] == "the log holds no end of the run"
