"""Gathers what a page shows of an episode: plain JSON, times in seconds from the first sound."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from phonotaxis.configs.contract import BEARING, DISTANCE, LOGITS, DiscreteActions
from phonotaxis.deploy.devices import DepthFrame
from phonotaxis.deploy.episode_reader import Episode
from phonotaxis.deploy.messages import DEPTH_TOPIC, decode_depth, decode_tensor
from phonotaxis.deploy.records import Message
from phonotaxis.deploy.replay_other import OtherReport
from phonotaxis.deploy.replay_report import ReplayReport
from phonotaxis.deploy.timing import DRIFT_EVENT
from phonotaxis.episode_page.pictures import data_url, depth_picture, spectrogram
from phonotaxis.episode_page.sound import NS_PER_S, louder, time_line, wav
from phonotaxis.episode_page.surroundings import CELL_M, MOST_FRAMES, commanded_way, obstacles, pose_at, way

LONGEST_S = 900.0
STEREO_S = 150.0  # longer pages carry one microphone
MOST_STATUSES = 20_000
_SHARP = 1e4  # concentration from which on a circular deviation is that of a line to 3e-5
_Frame = TypeVar("_Frame", DepthFrame, Message)
LEVELS = {1: "debug", 2: "info", 3: "warning", 4: "error"}


class PageError(ValueError):
    """The episode can't be shown; the message says why and what to do."""


def gather(
    episode: Episode,
    report: ReplayReport | None = None,
    other: OtherReport | None = None,
    from_s: float = 0.0,
    to_s: float | None = None,
) -> dict[str, Any]:
    """Return all that the page shows.

    Args:
        episode: what `read_episode` returned.
        report: of a replay, where there was one.
        other: what another policy would have done, where it was asked.
        from_s: seconds of the episode at which the page begins.
        to_s: at which it ends; None for the end.

    Raises:
        PageError: nothing lies between these times, too much for a page, or a message is damaged.
    """
    try:
        return _gather(episode, report, other, from_s, to_s)
    except PageError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, IndexError, AttributeError, RecursionError) as error:
        raise PageError(f"{episode.path}: a message in it can't be used ({error!r}); use another copy") from None


def _gather(
    episode: Episode, report: ReplayReport | None, other: OtherReport | None, from_s: float, to_s: float | None
) -> dict[str, Any]:
    start_ns, end_ns = _span(episode, from_s, to_s)
    span = _Span(start_ns, end_ns)
    odometry = episode.odometry()
    poses = way(odometry) if odometry else commanded_way(episode.safety())
    frames = _frames(episode, span)
    rows = _steps(episode, span, other)
    robot = episode.info.robot
    return {
        "title": episode.path.name,
        "from_s": from_s,
        "duration_s": span.duration_s,
        "facts": _facts(episode, report),
        "check": None if report is None else _check(report),
        "ended": _ended(episode),
        "other": None if other is None else _other(other, {row["n"]: row["t"] for row in rows["rows"]}),
        "steps": rows,
        "safety": _safety(episode, span),
        "events": _events(episode, span),
        "sound": _sound(episode, span),
        "frames": [
            {"t": span.at(frame.capture_ns), "src": data_url("image/png", _picture(episode, frame))} for frame in frames
        ],
        "max_range_m": robot.camera.pinhole.max_range_m,
        "map": {
            "source": "odometry" if odometry else "commanded speeds (no odometry)",
            "poses": _poses(poses, span),
            "cell_m": CELL_M,
            "cells": obstacles(_thinned(frames, MOST_FRAMES), poses, robot),
            "radius_m": robot.radius_m,
        },
    }


class _Span:
    def __init__(self, start_ns: int, end_ns: int) -> None:
        self.start_ns, self.end_ns = start_ns, end_ns
        self.duration_s = round((end_ns - start_ns) * 1e-9, 3)

    def at(self, time_ns: int) -> float:
        return round((time_ns - self.start_ns) * 1e-9, 4)

    def holds(self, time_ns: int) -> bool:
        return self.start_ns <= time_ns <= self.end_ns


def _span(episode: Episode, from_s: float, to_s: float | None) -> tuple[int, int]:
    heard = [m for m in episode.messages if m.topic == "/audio"]
    steps = [m.publish_ns for m in episode.messages if m.topic == "/step"]
    if not heard or not steps:
        raise PageError(f"{episode.path}: no sound or no step in it, so there is nothing to show")
    first_ns = min(heard[0].publish_ns, steps[0])
    last_ns = max(m.publish_ns for m in episode.messages if m.topic in ("/audio", "/step", "/safety"))
    whole_s = (last_ns - first_ns) * 1e-9
    end_s = whole_s if to_s is None else min(to_s, whole_s)
    if not 0.0 <= from_s < end_s:
        raise PageError(f"nothing lies between {from_s:g} and {end_s:g} s: the episode lasts {whole_s:.1f} s")
    if end_s - from_s > LONGEST_S:
        raise PageError(
            f"{end_s - from_s:.0f} s are more than the {LONGEST_S:g} s that a page shows; choose a part of the "
            f"{whole_s:.0f} s with --from and --to"
        )
    return first_ns + int(from_s * NS_PER_S), first_ns + int(end_s * NS_PER_S)


def _frames(episode: Episode, span: _Span) -> list[DepthFrame]:
    """Decode no more frames than are shown: a quarter of an hour of them fills a computer's memory."""
    found = [m for m in episode.messages if m.topic == DEPTH_TOPIC and span.holds(m.publish_ns)]
    found = _thinned(found, max(MOST_FRAMES, int(span.duration_s / 0.4)))
    return [decode_depth(message.data, message.publish_ns) for message in found]


def _thinned(frames: list[_Frame], most: int) -> list[_Frame]:
    return frames[:: max(1, -(-len(frames) // most))]


def _picture(episode: Episode, frame: DepthFrame) -> bytes:
    return depth_picture(frame.depth_m, episode.info.robot.camera.pinhole.max_range_m)


def _facts(episode: Episode, report: ReplayReport | None) -> list[list[str]]:
    info, head = episode.info, episode.metadata
    versions = json.loads(head.get("versions", "{}"))
    engine = info.engine
    facts = [
        ["Robot", f"{info.robot.name}, {info.robot.array.name}, {info.robot.array.mics} microphones"],
        ["Task", info.contract.task],
        ["Policy", info.bundle_sha256[:16]],
        *([["Caution", f"{info.caution:g}"]] if info.contract.caution else []),
        ["Engine", f"{engine.get('engine', '?')} {engine.get('version', '')}, {engine.get('threads', '?')} thread(s)"],
        ["Recorded", head.get("started_utc", "?")[:19].replace("T", " ") + " UTC"],
        ["phonotaxis", str(versions.get("phonotaxis", "?"))],
        ["Kind", "by the robot's runtime" if info.kind == "robot" else "by the simulator itself"],
    ]
    drifts = [event["message"] for event in episode.health() if event.get("event") == DRIFT_EVENT]
    facts += [["Audio clock", str(drifts[-1])]] if drifts else []
    lost = episode.what_is_lost()
    return [*facts, *([["Lost", lost]] if lost else []), *([["Files", str(len(episode.parts))]] if lost else [])]


def _check(report: ReplayReport) -> dict[str, Any]:
    stages = [
        {"name": stage.name, "text": str(stage).partition(": ")[2], "good": stage.differing == 0}
        for stage in report.stages
    ]
    return {"ok": report.ok, "text": str(report), "stages": stages}


def _ended(episode: Episode) -> str:
    """Say how the run ended: what one wants to know first after a bad one."""
    last = [e for e in episode.health() if str(e["event"]).startswith("ended_") or e["event"] == "log_failed"]
    ends = [str(event["message"]) for event in last]
    if ends:
        return ends[-1]
    return "the log holds no end of the run" if episode.info.kind == "robot" else ""


def _other(other: OtherReport, times: dict[int, float]) -> dict[str, Any]:
    return {
        "policy": other.bundle_sha256[:16],
        "agreement": other.agreement,
        "partings": [
            {"t": times[first.step], "step": first.step, "done": first.done, "other": first.other, "count": count}
            for first, count in other.partings
            if first.step in times
        ][:200],
    }


def _steps(episode: Episode, span: _Span, other: OtherReport | None) -> dict[str, Any]:
    would = {step.step: step.other for step in other.steps} if other is not None else {}
    rows: list[dict[str, Any]] = []
    for step in episode.steps():
        if not span.holds(int(step["due_ns"])):
            continue
        outputs = {name: decode_tensor(value) for name, value in step["outputs"].items()}
        middle, spread = (float(x) for x in outputs[DISTANCE])
        low, median, high = np.exp(np.clip([middle - abs(spread), middle, middle + abs(spread)], -20, 20))
        rows.append({
            "n": int(step["step"]),
            "t": span.at(int(step["due_ns"])),
            "action": str(step["action_name"]),
            "other": would.get(int(step["step"])),
            "v": float(step["v_mps"]), "w": float(step["w_radps"]),
            "bearing": float(np.arctan2(outputs[BEARING][1], outputs[BEARING][0])),
            "sigma": circular_std(float(outputs[BEARING][2])),
            "far": round(float(median), 3), "near_m": round(float(low), 3), "far_m": round(float(high), 3),
            "value": float(step["value"]),
            "margin": _margin(outputs),
            "age": float(step["depth_age_s"]),
            "start": float(step["episode_start"]) > 0,
        })  # fmt: skip
    kind = episode.info.contract.actions
    names = list(kind.names) if isinstance(kind, DiscreteActions) else sorted({row["action"] for row in rows})
    return {"period_s": episode.info.contract.control_period_s, "names": names, "rows": rows}


def circular_std(concentration: float) -> float:
    """Return the circular standard deviation of a von Mises distribution, radians, at most pi.

    sqrt(-2 ln(I1(k) / I0(k))) (Mardia and Jupp, Directional Statistics, 2000, section 3.5); the Bessel functions by
    the trapezoidal rule over their integral, which converges geometrically for periodic functions.
    """
    kappa = max(concentration, 1e-6)
    if kappa > _SHARP:
        return float(1.0 / np.sqrt(kappa))
    angle = np.linspace(0, 2 * np.pi, max(64, int(8 * np.sqrt(kappa))) * 4, endpoint=False)
    weight = np.exp(kappa * (np.cos(angle) - 1.0))
    ratio = float((weight * np.cos(angle)).sum() / weight.sum())
    return float(min(np.pi, np.sqrt(-2.0 * np.log(max(ratio, 1e-9)))))


def _margin(outputs: dict[str, np.ndarray]) -> float | None:
    if LOGITS not in outputs:
        return None
    best = np.sort(outputs[LOGITS])
    return float(best[-1] - best[-2])


def _safety(episode: Episode, span: _Span) -> list[dict[str, Any]]:
    found = [
        {"t": span.at(int(s["time_ns"])), "v": float(s["v_mps"]), "w": float(s["w_radps"]),
         "reason": str(s["reason"]), "armed": bool(s["armed"])}
        for s in episode.safety()
        if span.holds(int(s["time_ns"]))
    ]  # fmt: skip
    keys = ("v", "w", "reason", "armed")
    changed = [s for before, s in zip([None, *found], found) if before is None or any(s[k] != before[k] for k in keys)]
    return changed[:MOST_STATUSES]


def _events(episode: Episode, span: _Span) -> list[dict[str, Any]]:
    found = []
    for event in episode.health():
        stamp = event["timestamp"]
        at_ns = int(stamp["sec"]) * NS_PER_S + int(stamp["nsec"])
        if span.start_ns - NS_PER_S <= at_ns <= span.end_ns + 10 * NS_PER_S:
            level = LEVELS.get(int(event["level"]), "error")
            found.append(
                {"t": span.at(at_ns), "level": level, "event": str(event["event"]), "text": str(event["message"])}
            )
    return found


def _sound(episode: Episode, span: _Span) -> dict[str, Any]:
    array, rate = episode.info.robot.array, episode.info.robot.sample_rate_hz
    sides = np.argsort([position[1] for position in array.positions_m()])
    left, right = array.channel_map[int(sides[-1])], array.channel_map[int(sides[0])]
    channels = [left, right] if span.duration_s <= STEREO_S and left != right else [left]
    line = time_line(episode.audio(), channels, rate, span.start_ns, span.end_ns)
    loud, gain = louder(line)
    return {
        "wav": data_url("audio/wav", wav(loud, rate)),
        "spectrogram": data_url("image/png", spectrogram(line[0] / 32768.0, rate)),
        "gain_db": round(20.0 * float(np.log10(gain)), 1),
        "channels": [int(channel) for channel in channels],
        "top_khz": rate / 2000.0,
    }


def _poses(poses: np.ndarray, span: _Span) -> list[list[float]]:
    kept: list[Sequence[float]] = [p for p in poses if span.holds(int(p[0]))]
    kept = kept[:: max(1, -(-len(kept) // 4000))]
    rows = [[span.at(int(p[0])), round(p[1], 3), round(p[2], 3), round(p[3], 4)] for p in kept]
    return rows or [[0.0, *(round(x, 3) for x in pose_at(poses, span.start_ns))]]
