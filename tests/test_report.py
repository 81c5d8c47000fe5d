from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from phonotaxis.envs.metrics import BY_NAME
from phonotaxis.envs.statistics import Estimate
from phonotaxis.report import (
    Fact,
    PolicyRow,
    ReportData,
    ReportError,
    bearing_of_head,
    distance_of_head,
    panels,
    write_report,
)
from phonotaxis.report.table import COLUMNS

PERIOD_S = 0.25
RATE_HZ = 16000


def plan() -> tuple[np.ndarray, np.ndarray]:
    """Two rooms of 4 m x 5 m with a door between, a table in the first; cells of 0.1 m."""
    wall = np.zeros((54, 86), dtype=bool)
    wall[:2], wall[-2:], wall[:, :2], wall[:, -2:] = True, True, True, True
    wall[:, 42:44] = True
    wall[30:40, 42:44] = False
    obstacle = np.zeros_like(wall)
    obstacle[10:18, 18:30] = True
    return wall, obstacle


def report_data(**changes: Any) -> ReportData:
    """Walk from one room to the other and stop near the source."""
    rng = np.random.default_rng(0)
    corners = np.array([[1.0, 1.0], [1.2, 2.8], [4.3, 3.5], [6.5, 1.6]])
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    along = np.linspace(0.0, lengths.sum(), 81)
    knots = np.concatenate([[0.0], np.cumsum(lengths)])
    path = np.stack([np.interp(along, knots, corners[:, k]) for k in (0, 1)], axis=1)
    source = (7.2, 1.2)
    heading = np.unwrap(np.arctan2(*np.diff(path, axis=0).T[::-1]))
    truth = np.arctan2(source[1] - path[1:, 1], source[0] - path[1:, 0]) - heading + np.linspace(2.6, 0.0, 80)
    std = np.linspace(1.4, 0.15, 80)
    distance = lengths.sum() - along[1:] + 0.8
    t = np.arange(80 * 4000) / RATE_HZ
    audio = 0.05 * np.sin(2 * np.pi * 900.0 * t * (1 + 0.02 * np.sin(3 * t))) * (np.sin(9 * t) > 0)
    audio = (audio * np.exp(0.08 * t) / 4 + 0.002 * rng.standard_normal(t.size)).astype(np.float32)
    wall, obstacle = plan()
    actions = rng.choice([1, 1, 1, 1, 2, 3], 80).astype(np.int64)
    actions[-1] = 0
    fields: dict[str, Any] = {
        "title": "phonotaxis demo",
        "outcome": "Stopped 0.8 m from the source after 80 steps (20 s), 9 % longer than the shortest way.",
        "wall": wall,
        "obstacle": obstacle,
        "cell_m": 0.1,
        "origin_m": (0.0, 0.0),
        "path_m": path + 0.03 * np.sin(np.linspace(0, 20, 81))[:, None],
        "source_m": source,
        "shortest_path_m": corners,
        "audio": audio,
        "sample_rate_hz": RATE_HZ,
        "control_period_s": PERIOD_S,
        "action_names": ("stop", "forward", "left", "right"),
        "actions": actions,
        "bearing_rad": truth + std * 0.5 * rng.standard_normal(80),
        "bearing_std_rad": std,
        "true_bearing_rad": truth,
        "distance_m": distance,
        "believed_distance_m": distance * np.exp(0.1 * rng.standard_normal(80)),
        "believed_distance_band_m": distance * np.exp([[-0.3], [0.3]]),
        "rows": rows(),
        "table_note": "200 paired episodes in 20 apartments not seen in training.",
        "facts": facts(),
    }
    return ReportData(**{**fields, **changes})


def rows() -> tuple[PolicyRow, ...]:
    def row(name: str, ours: bool, *values: float) -> PolicyRow:
        metrics = ("success", "spl", "softspl", "sna", "distance_to_goal_m", "collisions", "reach")
        widths = (0.06, 0.05, 0.05, 0.05, 0.6, 2.0, 0.06)
        estimates = {m: Estimate(v, max(0.0, v - w), v + w) for m, v, w in zip(metrics, values, widths)}
        return PolicyRow(name, estimates, ours)

    return (
        row("random", False, 0.0, 0.0, 0.12, 0.0, 7.9, 61.0, 0.05),
        row("direction follower", False, 0.22, 0.15, 0.3, 0.1, 5.8, 12.4, 0.4),
        row("learnt", True, 0.64, 0.55, 0.6, 0.47, 2.3, 6.2, 0.8),
        row("expert", False, 1.0, 0.98, 0.9, 0.97, 0.6, 0.1, 1.0),
    )


def facts() -> tuple[Fact, ...]:
    return (
        Fact("Bundle", "hash", "3f6c0e2b9a7d"),
        Fact("Bundle", "PyTorch and ONNX Runtime", "differ by 2.4e-7 at most", True),
        Fact("Replay", "actions identical", "80 of 80", True),
        Fact("Replay", "altered sample found", "at step 41", True),
        Fact("Replay", "altered action found", "no", False),
        Fact("Speed", "simulator, one core", "1,840 steps/s"),
        Fact("Speed", "robot's step", "4.1 ms of 250 ms"),
    )


class Page(HTMLParser):
    """Collect tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def written(folder: Path, data: ReportData) -> str:
    write_report(folder / "new" / "report.html", folder / "new" / "report.png", data)
    return (folder / "new" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder that holds the report of `report_data()`."""
    folder = tmp_path_factory.mktemp("report")
    written(folder, report_data())
    return folder / "new"


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def test_the_page_stands_alone_and_runs_nothing(text: str) -> None:
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "object", "embed", "link", "form", "base"}
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 2
    assert all(source and source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert not any(name.startswith("on") or name in ("href", "style") for _, a in page.tags for name in a)
    assert "http:" not in text.replace("http-equiv", "")
    assert "https:" not in text


def test_the_policy_in_the_head_allows_this_style_and_nothing_else(text: str) -> None:
    (policy,) = (a["content"] for t, a in Page(text).tags if a.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_every_string_is_escaped(tmp_path: Path) -> None:
    evil = '<script>alert("$x$")</script>\u6f22'
    data = report_data(
        title=evil,
        outcome=evil,
        table_note=evil,
        rows=(PolicyRow(evil, rows()[0].estimates, True),),
        facts=(Fact(evil, evil, evil, True),),
        action_names=(evil, "forward", "left", "right"),
    )
    text = written(tmp_path, data)
    assert "<script" not in text
    assert Page(text).text.count(evil) == 8  # title twice, outcome, note, policy, group, name, value
    for svg in re.findall(r"base64,([A-Za-z0-9+/=]+)", text):
        assert b"<script" not in base64.b64decode(svg)


def test_the_table_holds_every_figure_and_marks_ours(text: str) -> None:
    page = Page(text)
    for figure in ("64", "58 – 70", "2.3", "1.7 – 2.9", "direction follower", "Distance to goal (m)"):
        assert figure in page.text
    assert [a for t, a in page.tags if t == "tr" and a.get("class") == "ours"] == [{"class": "ours"}]
    assert "SWS" not in page.text  # no policy has it


def test_the_table_knows_every_metric_by_its_name() -> None:
    assert {column.metric for column in COLUMNS} <= set(BY_NAME)


def test_facts_show_what_held_and_what_failed(text: str) -> None:
    page = Page(text)
    marks = [a.get("class") for t, a in page.tags if t == "dd"]
    assert marks == [None, "good", "good", "good", "bad", None, None]
    assert "80 of 80" in page.text


def test_the_picture_is_one_sheet(folder: Path) -> None:
    assert png_size(folder / "report.png") == (1800, 1320)


def test_the_same_data_give_the_same_bytes(folder: Path, text: str, tmp_path: Path) -> None:
    assert written(tmp_path, report_data()) == text
    assert (tmp_path / "new/report.png").read_bytes() == (folder / "report.png").read_bytes()


@pytest.mark.parametrize(
    ("panel", "field"),
    [
        (panels.draw_map, "source_m"),
        (panels.draw_spectrogram, "audio"),
        (panels.draw_bearing, "true_bearing_rad"),
        (panels.draw_distance, "distance_m"),
        (panels.draw_actions, "actions"),
    ],
)
def test_every_panel_shows_its_data(panel: Callable[[Axes, ReportData], None], field: str) -> None:
    data = report_data()
    changes = {
        "source_m": (2.0, 4.5),
        "audio": data.audio[::-1].copy(),
        "true_bearing_rad": -data.true_bearing_rad,
        "distance_m": 2.0 * data.distance_m,
        "actions": np.ones_like(data.actions),
    }
    shown = pixels(panel, data)
    assert shown == pixels(panel, data)
    assert shown != pixels(panel, dataclasses.replace(data, **{field: changes[field]}))


def pixels(panel: Callable[[Axes, ReportData], None], data: ReportData) -> bytes:
    figure = Figure(figsize=(4.0, 3.0))
    panel(figure.add_subplot(), data)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return bytes(canvas.buffer_rgba())


def test_a_report_without_evaluation_beliefs_or_facts(tmp_path: Path) -> None:
    bare = report_data(
        rows=(),
        facts=(),
        shortest_path_m=np.zeros((0, 2)),
        believed_distance_m=np.zeros(0),
        believed_distance_band_m=np.zeros((2, 0)),
    )
    text = written(tmp_path, bare)
    assert "Evaluation" not in text
    assert png_size(tmp_path / "new" / "report.png") == (1800, 1320)


def test_an_episode_of_one_step(tmp_path: Path) -> None:
    one = np.zeros(1)
    data = dataclasses.replace(
        report_data(),
        path_m=np.ones((2, 2)),
        audio=np.zeros(4000, dtype=np.float32),
        actions=np.zeros(1, dtype=np.int64),
        bearing_rad=one,
        bearing_std_rad=one,
        true_bearing_rad=one,
        distance_m=one + 3.0,
        believed_distance_m=one + 2.0,
        believed_distance_band_m=np.array([[1.0], [4.0]]),
    )
    assert "<main>" in written(tmp_path, data)


def test_data_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ReportError, match=r"bearing_rad: expected \[80\], got \[79\]"):
        report_data(bearing_rad=np.zeros(79))
    with pytest.raises(ReportError, match=r"path_m: expected \[81, 2\]"):
        report_data(path_m=np.zeros((80, 2)))
    with pytest.raises(ReportError, match="from 0 below 4, got 7"):
        report_data(actions=np.full(80, 7))
    with pytest.raises(ReportError, match="at least one step"):
        report_data(actions=np.zeros(0, dtype=np.int64))
    with pytest.raises(ReportError, match="one microphone"):
        report_data(audio=np.zeros((4, 100), dtype=np.float32))


def test_heads_are_read_as_the_contract_writes_them() -> None:
    # kappa 4: I1(4) / I0(4) = 9.75947 / 11.30192 = 0.86352 (Abramowitz and Stegun, table 9.8), and
    # sqrt(-2 ln 0.86352) = 0.54170. A flat one has no bounds, a sharp one the normal's 1 / sqrt(kappa).
    azimuth_rad, std_rad = bearing_of_head(np.array([[0.0, 2.0, 4.0], [-1.0, 0.0, 1e4], [1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(azimuth_rad, [np.pi / 2, np.pi, 0.0])
    np.testing.assert_allclose(std_rad[:2], [0.54170, 0.01], rtol=1e-3)
    assert std_rad[2] > np.pi
    median_m, band_m = distance_of_head(np.array([[np.log(3.0), np.log(2.0)]]))
    np.testing.assert_allclose(median_m, [3.0])
    np.testing.assert_allclose(band_m, [[1.5], [6.0]])
