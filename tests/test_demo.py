from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from phonotaxis.demo import DemoError, demo_task, line, main
from phonotaxis.policies import benchmark
from phonotaxis.policies.tuning import tune_follower

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Draw a map of two rooms and a door as map_server writes it, 10 cm a pixel."""
    pixels = np.zeros((42, 82), dtype=np.uint8)
    pixels[1:-1, 1:-1] = 254
    pixels[:, 40:42] = 0
    pixels[16:26, 40:42] = 254
    Image.fromarray(pixels).save(tmp_path / "house.pgm")
    text = (
        "image: house.pgm\nresolution: 0.1\norigin: [0, 0, 0]\nnegate: 0\noccupied_thresh: 0.65\nfree_thresh: 0.196\n"
    )
    (tmp_path / "house.yaml").write_text(text)
    return tmp_path / "house.yaml"


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    random = np.random.default_rng(0)
    soundfile.write(folder / "hiss.wav", 0.1 * random.standard_normal((24000, 2)), 8000)
    soundfile.write(folder / "hum.flac", np.sin(np.arange(44100) * 0.1) * 0.3 + 0.01 * random.random(44100), 44100)
    return folder


@pytest.mark.timeout(600)
def test_the_whole_line_on_the_users_map_and_sounds(
    house: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "tune_follower", partial(tune_follower, episodes=8))  # 96 take a quarter of a minute
    out = tmp_path / "demo"
    figures = main(house, recordings, out, seed=1, minutes=0.1, episodes=6, longest_s=5.0)
    assert figures["replay_identical"].value is True
    assert figures["replay_tampering_named"].value is True
    assert figures["replay_steps"].value == figures["robot_steps"].value > 0
    assert figures["parity_action_agreement"].value == 100.0
    assert 0.0 < figures["parity_largest_difference"].value < 1e-4
    assert figures["expert.success"].value == 1.0
    page = (out / "report.html").read_text()
    assert "phonotaxis demo" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    with Image.open(out / "report.png") as picture:
        assert picture.size[0] > 1000
    truth = [json.loads(line) for line in (out / "truth.jsonl").read_text().splitlines()]
    assert sum(fact["type"] == "window" for fact in truth) >= figures["robot_steps"].value


def test_it_doesnt_empty_a_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DemoError, match="holds other files"):
        main(out=tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_folder_is_emptied_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind a link, as on a machine whose results lie on another disk."""
    disk, out = tmp_path / "disk", tmp_path / "demo"
    (disk / "train").mkdir(parents=True)
    (disk / "train" / "weights").write_text("of the last time")
    (disk / ".phonotaxis-demo").touch()
    (tmp_path / "kept.txt").write_text("not the demo's")
    (disk / "elsewhere").symlink_to(tmp_path / "kept.txt")
    out.symlink_to(disk)
    monkeypatch.setattr(line.Demo, "run", lambda own: {})
    assert main(out=out) == {}
    assert out.is_symlink()
    assert [entry.name for entry in disk.iterdir()] == [".phonotaxis-demo"]
    assert (tmp_path / "kept.txt").exists()
    (tmp_path / "file").touch()
    with pytest.raises(DemoError, match="is a file; give a folder"):
        main(out=tmp_path / "file")


def test_inputs_are_read_before_the_last_result_goes(house: Path, recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    (out / ".phonotaxis-demo").touch()
    (out / "report.html").write_text("the last result")
    for map_path, sounds in ((tmp_path / "hous.yaml", recordings), (house, tmp_path / "soundz")):
        with pytest.raises(ValueError, match="hous.yaml|soundz"):
            main(map_path, sounds, out)
    recordings.rename(out / "sounds")
    with pytest.raises(DemoError, match="which the demo empties; give another folder"):
        main(house, out / "sounds", out)
    house.rename(out / "house.yaml")
    with pytest.raises(DemoError, match="house.yaml lies in"):
        main(out / "house.yaml", None, out)
    assert (out / "report.html").read_text() == "the last result"
    assert len(list((out / "sounds").iterdir())) == 2


@pytest.mark.parametrize("name", ["tb3_sandbox", "depot"])
def test_real_maps_and_recordings_make_a_task_that_can_be_walked(name: str) -> None:
    if not SHARED.exists():
        pytest.skip("the shared maps and recordings are not on this machine")
    from phonotaxis.envs.world import World

    world = World(demo_task(SHARED / "maps" / f"{name}.yaml", SHARED / "sounds"), 2)
    world.begin(np.arange(2), np.array([3, 4]))
    assert np.isfinite(world.distance_m).all()
    world.step(np.array([1, 2]))
    assert np.abs(world.observation["audio"]).max() > 0
    assert (world.observation["depth"] > 0).mean() > 0.5
