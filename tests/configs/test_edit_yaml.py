from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.edit_yaml import replace_text, with_values

CAMERA = ("devices", "camera", "latency_ms")
MICROPHONES = ("devices", "microphones", "latency_ms")
ROBOT = """\
# rover, third floor
name: rover   # on its side
devices:
  kind: hardware
  microphones: {device: ReSpeaker}   # lid off
  camera:
    # through the window
    pipeline: >-
      v4l2src ! latency_ms: 3
      # no comment

    latency_ms: 12.5      # measured by hand
  drive: {kind: waveshare, port: /dev/ttyDRIVE}
"""


def test_a_number_is_exchanged_and_every_other_byte_stays() -> None:
    assert with_values(ROBOT, {CAMERA: 31.2}) == ROBOT.replace("12.5 ", "31.2 ")


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_number_that_was_not_there_goes_before_the_comment_on_the_first_key(line_end: str) -> None:
    before = ROBOT.replace("    latency_ms: 12.5      # measured by hand\n", "").replace("\n", line_end)
    after = ROBOT.replace("    latency_ms: 12.5      # measured by hand\n", "")
    after = after.replace("    # through", "    latency_ms: 8\n    # through").replace("\n", line_end)
    assert with_values(before, {CAMERA: 8.0}) == after


def test_flow_mappings_and_absent_ones() -> None:
    after = ROBOT.replace("{device: R", "{latency_ms: 4.5, device: R")
    assert with_values(ROBOT, {MICROPHONES: 4.5}) == after
    bare = "devices:\n  kind: hardware\n"
    assert with_values(bare, {MICROPHONES: 4.5}) == "devices:\n  microphones: {latency_ms: 4.5}\n  kind: hardware\n"
    assert with_values("devices: {camera: {}}", {CAMERA: 1.0}) == "devices: {camera: {latency_ms: 1}}"
    assert with_values('{"devices": {"camera": {"latency_ms": 0.0}}}', {CAMERA: 2.5}) == (
        '{"devices": {"camera": {"latency_ms": 2.5}}}'
    )


@pytest.mark.parametrize(
    "text",
    [
        "common: &c {latency_ms: 1}\ndevices: {camera: *c}\n",  # would change both
        "first: &l 3\ndevices: {camera: {latency_ms: *l}}\n",
        "devices: {camera: {latency_ms: &l 3}}\nother: *l\n",
        "devices: {camera: [1, 2]}\n",
        "devices: usb\n",
        "devices: {camera: {latency_ms: [1]}}\n",
    ],
)
def test_what_would_change_something_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="by hand"):
        with_values(text, {CAMERA: 7.0})


def test_a_file_keeps_its_mode_and_its_links(tmp_path: Path) -> None:
    path, link = tmp_path / "rover.yaml", tmp_path / "link.yaml"
    path.write_text("a: 1\n")
    path.chmod(0o640)
    link.symlink_to(path)
    replace_text(link, "a: 2\n")
    assert link.is_symlink()
    assert path.read_text() == "a: 2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link.yaml", "rover.yaml"]


def test_a_file_that_cannot_be_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rover.yaml"
    path.write_text("a: 1\n")
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        replace_text(path, "a: 2\n")
    assert path.read_text() == "a: 1\n"
    assert os.listdir(tmp_path) == ["rover.yaml"]
