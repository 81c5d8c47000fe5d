"""What an episode of the loop shows: blocks, latencies, jitter and load, from its log and the board's own times."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import soxr

from phonotaxis.configs.contract import Contract
from phonotaxis.deploy.episode_reader import Episode, read_episode
from phonotaxis.deploy.jetson.resampling import QUALITY
from phonotaxis.envs.hil.world import QUIET_WINDOWS
from phonotaxis.hil.loop import HilEpisode

BLOCK = 160  # samples that are compared at a time
ROUNDING = 1  # code: a stream and the whole at once, in float32, round a few samples in a thousand differently


@dataclass(frozen=True, eq=False)
class Measured:
    """Of one episode.

    Attributes:
        steps: of the policy, in the world.
        blocks: of `BLOCK` samples that the policy heard and that were compared.
        blocks_differing: of these, that aren't what was rendered, exactly; on an array of another rate, that aren't, to
            a code, its sound resampled in one piece.
        samples_lost: written by the simulator and not heard up to the last sample that was.
        jitter_ms: float [steps], each decision against its due time by the audio clock, less their median.
        skipped_steps: numbers missing in the log.
        latency_ms: float [changes], from the last sample at the microphones (written, less the array's delay) to the
            new setpoint at the board.
        inference_ms: float [changes], of that, up to the decision.
        safety_ms: float [changes], of that, from the decision to the board.
        difference_db: level of what was heard less what was rendered, the array's delay taken out, against that of
            what was rendered; None where the array has the policy's rate.
    """

    steps: int
    blocks: int
    blocks_differing: int
    samples_lost: int
    jitter_ms: np.ndarray
    skipped_steps: int
    latency_ms: np.ndarray
    inference_ms: np.ndarray
    safety_ms: np.ndarray
    difference_db: float | None = None


def measure(episode: HilEpisode, contract: Contract) -> Measured:
    """Measure an episode.

    Raises:
        EpisodeError: its log can't be read.
    """
    assert episode.path is not None
    log = read_episode(episode.path)
    quiet = QUIET_WINDOWS * contract.hop_samples
    blocks, differing, lost, difference_db = _blocks(log, episode, contract, quiet)
    steps = [step for step in log.steps() if step["end_sample"] > quiet]
    late_ms = np.array([(step["decided_ns"] - step["due_ns"]) * 1e-6 for step in steps])
    numbers = [step["step"] for step in steps]
    skipped = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
    latency, inference, safety = _latencies(steps, episode, contract, quiet)
    jitter_ms = np.abs(late_ms - np.median(late_ms)) if steps else late_ms
    return Measured(len(steps), blocks, differing, lost, jitter_ms, skipped, latency, inference, safety, difference_db)


def _blocks(log: Episode, episode: HilEpisode, contract: Contract, quiet: int) -> tuple[int, int, int, float | None]:
    """Compare what was heard with what was rendered, by sample index."""
    if not episode.windows:
        return 0, 0, 0, None
    rendered = np.concatenate([window.result.audio_int16 for window in episode.windows], axis=1)
    heard = np.zeros_like(rendered)
    known = np.zeros(rendered.shape[1], dtype=bool)
    for block in log.audio():
        at = block.first_sample - quiet
        first, last = max(0, at), min(rendered.shape[1], at + block.samples.shape[1])
        if first < last:
            heard[:, first:last] = block.samples[:, first - at : last - at]
            known[first:last] = True
    end = int(np.flatnonzero(known)[-1]) + 1 if known.any() else 0
    whole = end // BLOCK * BLOCK
    expected, tolerance, difference_db = rendered, 0, None
    if episode.device_sound:
        expected, tolerance = _resampled(episode, contract, quiet), ROUNDING
        delay = round(episode.array_delay_s * contract.sample_rate_hz)
        difference_db = level_of_difference_db(heard[:, delay:end], rendered[:, : end - delay], known[delay:end])
        whole = min(whole, expected.shape[1] // BLOCK * BLOCK)
    apart = np.abs(heard[:, :whole].astype(np.int32) - expected[:, :whole])
    same = (apart <= tolerance).all(axis=0) & known[:whole]
    differing = int((~same.reshape(-1, BLOCK).all(axis=1)).sum())
    return whole // BLOCK, differing, int((~known[:end]).sum()), difference_db


def _resampled(episode: HilEpisode, contract: Contract, quiet: int) -> np.ndarray:
    """Return all that the array delivered at the policy's rate, resampled in one piece: [channels, samples]."""
    assert episode.device_rate_hz is not None
    sent = np.concatenate(episode.device_sound, axis=1).T.astype(np.float32)
    found = soxr.resample(sent, episode.device_rate_hz, contract.sample_rate_hz, quality=QUALITY).T[:, quiet:]
    codes: np.ndarray = np.rint(np.clip(found, -32768, 32767)).astype(np.int32)
    return codes


def level_of_difference_db(heard: np.ndarray, rendered: np.ndarray, known: np.ndarray) -> float | None:
    """Return the level of a difference against that of the sound, over the samples that were heard; None without any.

    Args:
        heard: int16 [channels, samples].
        rendered: likewise, sample for sample the same sound.
        known: bool [samples], those that were heard.
    """
    sound = rendered[:, known].astype(np.float64)
    power, apart = float((sound**2).sum()), float(((heard[:, known] - sound) ** 2).sum())
    return 10.0 * math.log10(max(apart, 1e-12) / power) if power else None


def _latencies(
    steps: list[dict], episode: HilEpisode, contract: Contract, quiet: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time the steps whose setpoint is a new one, since only there the board's line tells of which step it is."""
    times = [at_ns for at_ns, _, _ in episode.arrivals]
    found: list[tuple[float, float, float]] = []
    before: tuple[float, float] | None = None
    for step in steps:
        wanted = (round(step["v_mps"], 4), round(step["w_radps"], 4))
        window = (step["end_sample"] - quiet) // contract.hop_samples - 1
        changed, before = before is not None and wanted != before, wanted
        if not changed or step["end_sample"] % contract.hop_samples or not 0 <= window < len(episode.windows):
            continue
        delivered_ns = episode.windows[window].delivered_ns
        sounded_ns = delivered_ns - round(1e9 * episode.array_delay_s)
        limit_ns = delivered_ns + contract.control_period_ns
        for at_ns, v, w in episode.arrivals[bisect_left(times, delivered_ns) :]:
            if at_ns > limit_ns:
                break
            if math.isclose(v, wanted[0], abs_tol=1e-4) and math.isclose(w, wanted[1], abs_tol=1e-4):
                decided_ns = step["decided_ns"]
                found.append(
                    ((at_ns - sounded_ns) * 1e-6, (decided_ns - sounded_ns) * 1e-6, (at_ns - decided_ns) * 1e-6)
                )
                break
    columns = np.array(found).reshape(-1, 3).T
    return columns[0], columns[1], columns[2]


def upper_loss_points(losses: int, gains: int, pairs: int) -> float:
    """Return the one-sided 95 % upper bound of a paired loss of success, in points.

    Args:
        losses: pairs in which only the other succeeded.
        gains: pairs in which only the loop succeeded.
        pairs: of all.

    The interval of Agresti and Min (2005) for matched pairs: half a pair is added to each of the four cells, so
    that no loss in few pairs isn't taken for none at all.
    """
    total = pairs + 2
    mean = (losses - gains) / total
    variance = ((losses + gains + 1) / total - mean**2) / total
    return 100.0 * (mean + 1.6449 * math.sqrt(variance))
