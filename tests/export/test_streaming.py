"""Where windows overlap, the graph takes the new samples and carries the rest: the same as from whole windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phonotaxis.configs.contract import AUDIO, EPISODE_START, STATE_IN, STATE_OUT, Contract
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.export.bundle import Bundle, BundleError, open_bundle
from phonotaxis.export.engines import open_engine
from phonotaxis.export.onnx import export_policy
from phonotaxis.export.precision import activations, bare_model, convert
from phonotaxis.policies.policy import Policy

STEPS, ROWS, HOP = 80, 3, 4000
STARTS = {0: (0, 1, 2), 1: (1,), 17: (0, 2), 18: (0,), 50: (1,)}  # rows whose episodes begin at a step
WINDOWS = (4100, 10_000)  # an overlap of less than a frame, and one of one and a half hops


@pytest.fixture(scope="module", params=WINDOWS)
def made(request: pytest.FixtureRequest, contract: Contract) -> tuple[Policy, Bundle]:
    """Return a policy whose windows overlap, and its bundle."""
    torch.manual_seed(1)
    longer = contract.model_copy(update={"window_samples": request.param, "state_shape": ()})
    policy = Policy(longer, PolicyConfig(memory_size=24)).eval()
    return policy, open_bundle(export_policy(policy, {}))


def _whole_windows(window: int, mics: int, seed: int) -> list[np.ndarray]:
    """Cut a long sound of 16 bit into each step's window, float32 [rows, mics, window]: zeros before a start."""
    rng = np.random.default_rng(seed)
    level = 10.0 ** rng.uniform(-3.0, -0.5, (ROWS, 1, STEPS)).repeat(HOP, axis=2)
    sound = np.round(np.clip(rng.standard_normal((ROWS, mics, STEPS * HOP)) * level, -1.0, 0.99) * 32768) / 32768
    padded = np.concatenate([np.zeros((ROWS, mics, window)), sound], axis=2).astype(np.float32)
    found, begun = [], np.zeros(ROWS, dtype=np.int64)
    for step in range(STEPS):
        begun[list(STARTS.get(step, ()))] = step
        ends = (step + 1) * HOP
        one = padded[:, :, ends : ends + window].copy()
        for row in range(ROWS):
            heard = ends - begun[row] * HOP
            one[row, :, : max(window - heard, 0)] = 0.0
        found.append(one)
    return found


def _observation(contract: Contract, audio: np.ndarray, step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1000 + step)
    seen = {
        spec.name: rng.uniform(0, 1, (ROWS, *spec.shape)).astype(np.float32) for spec in contract.observations()
    } | {AUDIO: audio}
    seen[EPISODE_START][:, 0] = [float(row in STARTS.get(step, ())) for row in range(ROWS)]
    return seen


def test_it_is_the_whole_window_over_many_steps(made: tuple[Policy, Bundle]) -> None:
    policy, bundle = made
    mics, window = bundle.contract.array.mics, bundle.contract.window_samples
    overlap = window - HOP
    assert bundle.contract.inputs()[0].shape == (mics, HOP)
    assert bundle.contract.state_shape == (24 + mics * overlap,)
    engine, state = open_engine(bundle), bundle.initial_state(ROWS) + 0.5  # what the first start clears
    memory = torch.full((ROWS, 24), 0.5)
    largest = spread = 0.0
    for step, audio in enumerate(_whole_windows(window, mics, seed=window)):
        seen = _observation(bundle.contract, audio, step)
        with torch.no_grad():
            tensors = {name: torch.from_numpy(value) for name, value in seen.items()}
            expected = policy.step(policy.features(tensors), memory, tensors[EPISODE_START])
        received = engine.run(bundle.contract.feed(seen, state))
        memory, state = expected.state, received[STATE_OUT]
        for name in ("logits", "value", "bearing", "distance"):
            largest = max(largest, float(np.abs(getattr(expected, name).numpy() - received[name]).max()))
        largest = max(largest, float(np.abs(expected.state.numpy() - state[:, :24]).max()))
        spread = max(spread, float(np.ptp(received["logits"])))
        assert np.array_equal(state[:, 24:].reshape(ROWS, -1, overlap), audio[:, :, HOP:])
    assert largest < 1e-5 < spread


def test_what_is_carried_counts_until_an_episode_begins(made: tuple[Policy, Bundle]) -> None:
    bundle = made[1]
    engine, silent = open_engine(bundle), bundle.initial_state(ROWS)
    loud = silent.copy()
    loud[:, 24:] = np.random.default_rng(0).uniform(-0.5, 0.5, loud[:, 24:].shape)
    silence = np.zeros((ROWS, 4, bundle.contract.window_samples), dtype=np.float32)
    seen = _observation(bundle.contract, silence, step=5)  # no start
    one, other = (engine.run(bundle.contract.feed(seen, state)) for state in (loud, silent))
    assert np.abs(one["logits"] - other["logits"]).max(axis=1).min() > 1e-5
    seen[EPISODE_START][:] = 1.0
    one, other = (engine.run(bundle.contract.feed(seen, state)) for state in (loud, silent))
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_lower_precisions_carry_it_unrounded(made: tuple[Policy, Bundle], precision: str) -> None:
    ranges = dict.fromkeys(activations(bare_model(made[1])), 8.0)
    bundle = open_bundle(convert(made[1], precision, ranges))
    overlap = bundle.contract.overlap_samples
    engine, state = open_engine(bundle), bundle.initial_state(ROWS)
    for step, audio in enumerate(_whole_windows(overlap + HOP, 4, seed=3)[:4]):
        state = engine.run(bundle.contract.feed(_observation(bundle.contract, audio, step), state))[STATE_OUT]
        assert np.array_equal(state[:, 24:].reshape(ROWS, -1, overlap), audio[:, :, HOP:])


def test_a_graph_of_whole_windows_is_refused(contract: Contract, bundle: Bundle) -> None:
    from phonotaxis.export.bundle import seal

    longer = bundle.contract.model_copy(update={"hop_samples": 2000})  # its graph takes all 4000 samples
    with pytest.raises(BundleError, match=r"input 'audio' is float32 \['batch', 4, 4000\], its contract says"):
        seal(bare_model(bundle).SerializeToString(), longer, {})


def test_without_overlap_nothing_is_carried(contract: Contract) -> None:
    assert contract.overlap_samples == 0
    zeros = {spec.name: np.zeros((1, *spec.shape), np.float32) for spec in contract.observations()}
    fed = contract.feed(zeros, np.ones((1, 4), np.float32))
    assert list(fed) == [spec.name for spec in contract.inputs()]
    assert np.shares_memory(fed[AUDIO], zeros[AUDIO])
    assert fed[AUDIO].shape == zeros[AUDIO].shape
    assert fed[STATE_IN].all()
