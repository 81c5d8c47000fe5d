"""The page in a real browser: it draws itself, follows the time, plays, and nothing in it can run or be loaded."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from phonotaxis.deploy import messages
from phonotaxis.deploy.episode_reader import Episode, read_episode
from phonotaxis.deploy.replay import check
from phonotaxis.deploy.replay_other import OtherReport, OtherStep
from phonotaxis.episode_page import write_episode_page
from phonotaxis.export.bundle import read_bundle

EVIL = '</script><script>window.evil = 1</script><img src=x onerror="window.evil = 2">&amp;\u2028"\'`${window.evil = 3}'


@pytest.fixture(scope="module")
def page(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of the robot's golden episode, with its check and another policy's answer."""
    path = tmp_path_factory.mktemp("page") / "new" / "page.html"
    episode, bundle = read_episode(golden / "robot.mcap"), read_bundle(golden / "policy.onnx")
    size = write_episode_page(path, episode, check(episode, bundle, exact=False), other_of(episode))
    assert size == path.stat().st_size
    return path


def other_of(episode: Episode) -> OtherReport:
    """Make up another policy that turns left from the fifth step on."""
    names = [(step["step"], step["action_name"]) for step in episode.steps()]
    steps = (
        OtherStep(number, 0.25 * number, done, done if number < 5 else "left", number < 5, 0.1)
        for number, done in names
    )
    return OtherReport(tuple(steps), 0, "f" * 64)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_file_stands_alone_and_is_for_its_owner(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_mode & 0o777 == 0o600
    tags = Tags(text).found
    assert [tag for tag, _ in tags if tag in ("link", "iframe", "object", "embed", "form", "base", "img")] == []
    assert [attributes for tag, attributes in tags if tag == "script"] == [
        {"type": "application/json", "id": "shown"},
        {},
    ]
    assert not any(name.startswith("on") or name in ("href", "src", "style") for _, a in tags for name in a)
    (policy,) = (a["content"] for _, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_it_draws_itself_without_a_complaint(browser: Any, page: Path, golden: Path) -> None:
    browser.size(1400, 1000)
    browser.open(page)
    assert browser.complaints == []
    steps = read_episode(golden / "robot.mcap").steps()
    assert browser.js("document.querySelector('h1').textContent") == "robot.mcap"
    assert f"{len(steps)} steps" in browser.js("document.querySelector('header p').textContent")
    last = read_episode(golden / "robot.mcap").health()[-1]
    assert last["event"].startswith("ended_")
    assert f"; ended: {last['message']}" in browser.js("document.querySelector('header p').textContent")
    assert browser.js("document.querySelectorAll('#strip-3 rect.mark').length") == len(steps)
    assert browser.js("document.querySelectorAll('#strip-1 rect.mark').length") == len(steps)
    assert browser.js("document.querySelectorAll('#strip-1 rect.band').length") >= len(steps)
    assert browser.js("document.querySelectorAll('#strip-3 rect.dim').length") == sum(
        step["step"] >= 5 and step["action_name"] != "left" for step in steps
    )
    assert browser.js("document.querySelector('#obstacles').getAttribute('d').length") > 500
    assert browser.js("document.querySelector('#verdict').className") == "good"
    assert "armed" in browser.js("document.querySelector('#events').textContent")
    agreed = sum(step["step"] < 5 or step["action_name"] == "left" for step in steps)
    assert f"{100 * agreed / len(steps):.1f} %" in browser.js("document.querySelector('#other').textContent")
    assert browser.js("document.documentElement.scrollWidth <= window.innerWidth")
    spectrogram = "document.querySelector('#strip-0 image').getAttribute('href')"
    size = f"(async () => {{ const i = new Image(); i.src = {spectrogram}; await i.decode(); return i.width; }})()"
    assert browser.js(size) > 100


def test_the_slider_moves_everything(browser: Any, page: Path) -> None:
    browser.size(1400, 1000)
    browser.open(page)
    state = (
        "(() => { const one = (what) => document.querySelector(what); return JSON.stringify({"
        "clock: one('#clock').textContent, state: one('#state').textContent, frame: one('#frame').src.slice(-40), "
        "cursor: one('#cursor').style.left, wedge: (one('#wedge') || document.body).getAttribute('d')}); })()"
    )
    before = json.loads(browser.js(state))
    assert "no step yet" not in before["state"] or before["wedge"] is None
    move = "const s = document.querySelector('#time'); s.value = '{}'; s.dispatchEvent(new Event('input'))"
    browser.js(move.replace("const", "var").format(3.1))
    after = json.loads(browser.js(state))
    assert after["clock"].startswith("3.10 / ")
    assert all(after[key] != before[key] for key in before)
    assert "safety" in after["state"]
    assert "other policyleft" in after["state"]
    browser.js("document.querySelector('#events button').click()")
    assert not browser.js("document.querySelector('#clock').textContent").startswith("3.10")
    assert (
        browser.js("document.querySelector('#frame').complete && document.querySelector('#frame').naturalWidth") == 64
    )


def test_the_cursor_stands_where_the_time_axis_says(browser: Any, page: Path) -> None:
    browser.size(1400, 1000)
    browser.open(page, "#t=2")
    tick = "[...document.querySelectorAll('#strip-6 text')].find((t) => t.textContent === '2').getBoundingClientRect()"
    middle = browser.js(f"{tick}.left + {tick}.width / 2")
    cursor = browser.js("document.querySelector('#cursor').getBoundingClientRect().left")
    assert abs(middle - cursor) < 1.5
    strip = "document.querySelector('#strip-1').getBoundingClientRect()"
    x, y = browser.js(f"{strip}.left + 74 + ({strip}.width - 84) * 0.5"), browser.js(f"{strip}.top + 20")
    browser.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", buttons=1, clickCount=1)
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)
    half = float(browser.js("document.querySelector('#time').max")) / 2
    assert float(browser.js("document.querySelector('#time').value")) == pytest.approx(half, abs=0.05)


def test_it_plays_and_the_sound_is_what_was_heard(browser: Any, page: Path) -> None:
    browser.size(1400, 1000)
    browser.open(page)
    ready = (
        "new Promise((done) => { const a = document.querySelector('#sound'); const go = () => done(a.duration);"
        " if (a.readyState > 0) go(); else { a.onloadedmetadata = go; a.onerror = () => done(-1); } })"
    )
    duration = browser.js(ready)
    assert duration == pytest.approx(float(browser.js("document.querySelector('#time').max")), abs=0.1)
    browser.js("document.querySelector('#play').click()")
    assert browser.js("document.querySelector('#play').textContent") == "Pause"
    browser.js("new Promise((done) => setTimeout(done, 700))")
    browser.js("document.querySelector('#play').click()")
    at = float(browser.js("document.querySelector('#time').value"))
    assert 0.05 < at < duration
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    browser.js("document.activeElement.blur()")
    before = float(browser.js("document.querySelector('#time').value"))
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    assert float(browser.js("document.querySelector('#time').value")) == pytest.approx(before + 0.25, abs=0.02)


def test_no_string_of_the_log_can_run(browser: Any, golden: Path, tmp_path: Path) -> None:
    """Every text that stands in an episode, replaced by an attack, in a page that shows all of them."""
    episode = read_episode(golden / "robot.mcap")

    def poisoned(message: Any) -> Any:
        if message.topic not in (messages.STEP_TOPIC, messages.SAFETY_TOPIC, messages.HEALTH_TOPIC):
            return message
        fields = json.loads(message.data)
        for key in ("action_name", "reason", "event", "message", "name"):
            if key in fields:
                fields[key] = EVIL
        return dataclasses.replace(message, data=json.dumps(fields).encode())

    info = episode.info
    evil = dataclasses.replace(
        episode,
        messages=[poisoned(message) for message in episode.messages],
        info=dataclasses.replace(
            info, robot=info.robot.model_copy(update={"name": EVIL}), engine={"engine": EVIL, "version": EVIL}
        ),
        metadata={**episode.metadata, "started_utc": EVIL, "versions": json.dumps({"phonotaxis": EVIL})},
        path=tmp_path / f"{EVIL.replace('/', '')}.mcap",
    )
    report = check(episode, read_bundle(golden / "policy.onnx"), exact=False)
    report = dataclasses.replace(report, lost=EVIL, stages=(dataclasses.replace(report.stages[0], note=EVIL),))
    steps = tuple(dataclasses.replace(step, done=EVIL, other=EVIL) for step in other_of(episode).steps)
    path = tmp_path / "evil.html"
    write_episode_page(path, evil, report, dataclasses.replace(other_of(episode), steps=steps))
    assert EVIL not in path.read_text(encoding="utf-8")
    browser.size(1400, 1000)
    browser.open(path, "#t=3")
    assert browser.complaints == []  # nothing was even refused: there is nothing to refuse
    assert browser.js("window.evil === undefined")
    assert browser.js("document.querySelectorAll('script').length") == 2
    assert browser.js("document.querySelectorAll('img').length") == 1
    shown = browser.js("document.body.innerText")
    assert shown.count("window.evil = 1") > 10


def test_the_policy_holds_even_if_a_string_became_markup(browser: Any, page: Path, tmp_path: Path) -> None:
    """Plant a script, a handler and a request in the file itself: the browser refuses all three, by the head."""
    attack = '<script>window.evil = 1</script><img src="https://127.0.0.1:9/x" onerror="window.evil = 2">'
    path = tmp_path / "planted.html"
    path.write_text(page.read_text(encoding="utf-8").replace('<main id="page">', attack + '<main id="page">'))
    browser.open(path)
    assert browser.js("window.evil === undefined")
    refused = " ".join(browser.complaints)
    assert "script" in refused
    assert "127.0.0.1:9" in refused


@pytest.mark.parametrize("width", [1400, 700])
def test_it_fits_the_window(browser: Any, page: Path, tmp_path: Path, width: int) -> None:
    browser.size(width, 900)
    browser.open(page, "#t=2")
    assert browser.js("document.documentElement.scrollWidth") <= width
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 30_000
