"""The ring that learning draws from."""

from __future__ import annotations

from multiprocessing import Pipe

import numpy as np
import pytest
import torch

from phonotaxis.policies.chunks import Chunk, ChunkBuffer, with_goal_noise


def chunk(first: int, batch: int, time: int = 3) -> Chunk:
    """Build chunks whose every number says which world they are of, from `first` on."""
    worlds = torch.arange(first, first + batch).float()
    row = worlds.expand(time, batch) + torch.arange(time)[:, None] / 8
    return Chunk(
        features={"audio": row[..., None].repeat(1, 1, 2), "depth": row[..., None, None, None].half()},
        episode_start=row[..., None],
        state=worlds[:, None].repeat(1, 4),
        regrets=row[..., None].repeat(1, 1, 4),
        bearing_rad=row + 0.01,
        range_m=row + 0.05,
        distance_m=row + 0.02,
        to_go=row + 0.03,
    )


def drawn_worlds(buffer: ChunkBuffer, draws: int = 300) -> set[int]:
    return {int(world) for world in buffer.draw(draws).state[:, 0]}


def test_what_is_drawn_is_what_was_added() -> None:
    """Every column of a drawn chunk is of the same world, time first, float32."""
    buffer = ChunkBuffer(10, seed=0)
    buffer.add(chunk(0, 4))
    buffer.add(chunk(4, 4))
    drawn = buffer.draw(6)
    assert drawn.features["audio"].shape == (3, 6, 2)
    assert drawn.features["depth"].shape == (3, 6, 1, 1, 1)
    assert drawn.regrets.shape == (3, 6, 4)
    assert drawn.state.shape == (6, 4)
    worlds = drawn.state[:, 0]
    expected = worlds.expand(3, 6) + torch.arange(3)[:, None] / 8
    assert torch.equal(drawn.features["audio"], expected[..., None].repeat(1, 1, 2))
    assert torch.equal(drawn.features["depth"][..., 0, 0, 0], expected)
    assert torch.equal(drawn.episode_start[..., 0], expected)
    assert torch.equal(drawn.bearing_rad, expected + 0.01)
    assert torch.equal(drawn.distance_m, expected + 0.02)
    assert torch.equal(drawn.to_go, expected + 0.03)
    assert all(column.dtype == torch.float32 for column in (*drawn.features.values(), *drawn[1:]))


def test_the_oldest_make_room() -> None:
    buffer = ChunkBuffer(5, seed=0)
    buffer.add(chunk(0, 2))
    assert (buffer.count, drawn_worlds(buffer)) == (2, {0, 1})
    buffer.add(chunk(2, 2))
    assert (buffer.count, drawn_worlds(buffer)) == (4, {0, 1, 2, 3})
    buffer.add(chunk(4, 2))  # over the end of the ring
    assert (buffer.count, drawn_worlds(buffer)) == (5, {1, 2, 3, 4, 5})
    buffer.add(chunk(6, 2))
    assert (buffer.count, drawn_worlds(buffer)) == (5, {3, 4, 5, 6, 7})


def test_draws_are_uniform_and_repeat_with_the_seed() -> None:
    first, second, other = (ChunkBuffer(8, seed=seed) for seed in (1, 1, 2))
    for buffer in (first, second, other):
        buffer.add(chunk(0, 8))
    drawn = first.draw(4000).state[:, 0]
    assert torch.equal(drawn, second.draw(4000).state[:, 0])
    assert not torch.equal(drawn, other.draw(4000).state[:, 0])
    counts = np.bincount(drawn.numpy().astype(int), minlength=8)
    assert counts.min() > 400
    assert counts.max() < 600


def test_features_are_kept_in_half_precision() -> None:
    buffer = ChunkBuffer(2, seed=0)
    exact = chunk(0, 2)
    buffer.add(exact._replace(features={"audio": exact.features["audio"] + 1e-5}))
    assert torch.equal(buffer.draw(1).features["audio"] % 0.125, torch.zeros(3, 1, 2))


def test_a_process_is_sent_a_chunk_by_value() -> None:
    """No descriptor of shared memory that the sender has to stay alive for."""
    sent = chunk(0, 100)
    sender, receiver = Pipe()
    sender.send(sent)
    message = receiver.recv_bytes()
    columns = [*sent.features.values(), *sent[1:]]
    assert len(message) > sum(column.nbytes for column in columns if isinstance(column, torch.Tensor))
    sender.send_bytes(message)
    received = receiver.recv()
    assert isinstance(received, Chunk)
    for name, value in sent.features.items():
        assert torch.equal(received.features[name], value)
        assert received.features[name].dtype == value.dtype
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(sent[1:], received[1:], strict=True))


def test_an_empty_ring_has_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="high <= 0"):
        ChunkBuffer(4, seed=0).draw(1)


def test_a_named_goal_is_off_by_one_draw_a_world() -> None:
    """The same at every step, another in each world, of the deviation asked for; what isn't named stays zeros."""
    named = torch.ones(3, 400, 96)
    named[:, 7] = 0.0
    clean = chunk(0, 400)
    clean = clean._replace(features=clean.features | {"goal": named})
    noisy = with_goal_noise(clean, 0.5, np.random.default_rng(0))
    off = noisy.features["goal"] - named
    assert torch.equal(off[0], off[1])
    assert torch.equal(off[0], off[2])
    assert not torch.equal(off[0, 0], off[0, 1])
    assert not off[:, 7].any()
    others = torch.arange(400) != 7
    assert float(off[0, others].std()) == pytest.approx(0.5, rel=0.02)
    assert float(off[0, others].mean()) == pytest.approx(0.0, abs=0.02)
    assert torch.equal(noisy.features["audio"], clean.features["audio"])
    assert torch.equal(clean.features["goal"], named)


def test_without_a_goal_or_deviation_nothing_is_off() -> None:
    """A training that names nothing, and one that asks for no noise, learn from chunks as they are."""
    nameless = chunk(0, 4)
    assert with_goal_noise(nameless, 1.0, np.random.default_rng(0)) is nameless
    named = nameless._replace(features={"goal": torch.ones(3, 4, 96)})
    assert with_goal_noise(named, 0.0, np.random.default_rng(0)) is named
