"""Collection for DAgger: who drives, what is kept, and that it repeats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.lanes import Lane, lane_names
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import library
from phonotaxis.policies.collect import Collector
from phonotaxis.policies.expert import WRONG_STOP_REGRET
from phonotaxis.policies.kept_library import MOST_FIELDS, kept_library, of_few_scenes
from phonotaxis.policies.policy import Policy

MakeConfig = Callable[..., ImitationConfig]
MakeTask = Callable[..., AudioGoalTask]


def collector(config: ImitationConfig) -> Collector:
    torch.manual_seed(0)
    return Collector(config, Policy(config.task.contract(), config.policy))


def test_a_chunk_holds_what_was_seen_and_what_it_would_have_cost(make_config: MakeConfig) -> None:
    collecting = collector(make_config())
    before = {name: array.copy() for name, array in collecting.lanes[0].world.observation.items()}
    bearing, distance = collecting.lanes[0].world.bearing_rad.copy(), collecting.lanes[0].world.distance_m.copy()
    chunk = collecting.collect(1.0).chunk
    assert chunk.regrets.shape == (6, 4, 4)
    assert chunk.episode_start[0].tolist() == [[1.0]] * 4
    assert not chunk.episode_start[1].any()
    assert not chunk.state.any()
    seen = collecting.policy.features({name: torch.from_numpy(array) for name, array in before.items()})
    assert all(torch.equal(chunk.features[name][0], value.half()) for name, value in seen.items())
    np.testing.assert_allclose(chunk.bearing_rad[0].numpy(), bearing, rtol=1e-6)
    np.testing.assert_allclose(chunk.distance_m[0].numpy(), distance, rtol=1e-6)
    assert torch.isfinite(chunk.to_go).all()
    assert (chunk.to_go[1:] < chunk.to_go[:-1] + 1.5).all()


def test_states_of_the_next_chunk_follow_from_this_one(make_config: MakeConfig) -> None:
    """Unrolling a chunk from its state leads to the next chunk's, up to the rounding of the features."""
    collecting = collector(make_config())
    first, second = collecting.collect(1.0).chunk, collecting.collect(1.0).chunk
    with torch.no_grad():
        features = {name: value.float() for name, value in first.features.items()}
        unrolled = collecting.policy.unroll(features, first.state, first.episode_start)
    np.testing.assert_allclose(unrolled.state[-1].numpy(), second.state.numpy(), atol=2e-3)


def test_the_expert_gets_there(make_config: MakeConfig) -> None:
    collecting = collector(make_config(episode_steps=100, chunk=60))
    results = collecting.collect(1.0).results[0]
    assert len(results) >= 4
    assert all(result.success for result in results)
    seeds = [result.episode_seed for result in results]
    assert len(set(seeds)) == len(seeds)


def test_episodes_are_cut_and_others_begin(make_config: MakeConfig) -> None:
    collecting = collector(make_config(episode_steps=3, chunk=7))
    collected = collecting.collect(0.0)
    assert len(collected.results[0]) >= 8
    assert {result.steps for result in collected.results[0]} <= {1, 2, 3}
    starts = collected.chunk.episode_start[..., 0].sum(dim=0)
    assert starts.tolist() == [3.0] * 4
    assert collecting.lanes[0].world.active.all()


def test_a_stop_in_the_wrong_place_is_not_taken(make_config: MakeConfig) -> None:
    """A policy that wants nothing but to stop goes on, until it is where it may."""
    collecting = collector(make_config(episode_steps=1000))
    with torch.no_grad():
        for name, parameter in collecting.policy.named_parameters():
            if name.endswith("bias") and parameter.shape == (4,):
                parameter[0] = 50.0
    for _ in range(3):
        collected = collecting.collect(0.0)
        assert all(result.success for result in collected.results[0] if result.stopped)
    assert (collected.chunk.regrets[..., 0] == WRONG_STOP_REGRET).any()


def test_collecting_repeats_to_the_last_bit(make_config: MakeConfig) -> None:
    def collect(seed: int) -> list[torch.Tensor]:
        collecting = collector(make_config(seed=seed))
        chunks = [collecting.collect(share).chunk for share in (1.0, 0.3)]
        return [tensor for chunk in chunks for tensor in (*chunk.features.values(), *chunk[1:])]

    first = collect(0)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(first, collect(0)))
    assert not all(torch.equal(ours, theirs) for ours, theirs in zip(first, collect(1)))


def test_shares_decide_who_drives(make_config: MakeConfig) -> None:
    """All the expert's, then none of it: a policy that has learnt nothing takes other actions."""
    collecting = collector(make_config(episode_steps=1000, chunk=30))
    scores = torch.zeros(4, 4)
    scores[:, 2] = 1.0  # the policy would turn left
    regrets = np.tile(np.array([WRONG_STOP_REGRET, 0.0, 1.0, 1.0], dtype=np.float32), (4, 1))
    for share, greedy in ((1.0, [1, 1]), (0.0, [2, 2])):
        for _ in range(300):  # spells end
            chosen = collecting._choose(scores, regrets, share)
        assert chosen[::2].tolist() == greedy  # every other world takes the policy's best action
    drawn = np.array([collecting._choose(scores, regrets, 0.0) for _ in range(300)])
    assert set(np.unique(drawn[:, 1::2])) == {1, 2, 3}  # and the others draw from it, but for the wrong stop


def test_several_lanes_are_one_batch(make_config: MakeConfig, make_task: MakeTask) -> None:
    """Tasks with other arrays and bodies, one network; each lane's episodes keep to their own rules."""
    lanes = [
        Lane(task=make_task(), worlds=2, episode_steps=4),
        Lane(task=make_task(array="matrix_voice"), worlds=1, episode_steps=50),
        Lane(task=make_task(step_m=0.1), worlds=1, episode_steps=50),
    ]
    config = make_config(lanes=lanes)
    assert config.worlds == 4
    assert config.task == lanes[0].task
    collecting = collector(config)
    collected = collecting.collect(0.0)
    assert collected.chunk.regrets.shape == (6, 4, 4)
    assert [len(results) for results in collected.results] == [2, 0, 0]
    array = collecting.policy.front_ends.audio.layout.response
    described = collected.chunk.features["audio"][0, :, -array:]
    assert torch.equal(described[0], described[1])
    assert not torch.equal(described[0], described[2])
    body = collected.chunk.features["motion"][0, :, 8]
    assert body.tolist() == [0.0, 0.0, 0.0, np.float16(np.log2(0.4))]


def test_lanes_that_no_network_fits_are_refused(
    make_config: MakeConfig, make_task: Callable[..., AudioGoalTask]
) -> None:
    with pytest.raises(ValueError, match=r"lanes\.1: its goal differs"):
        make_config(lanes=[Lane(task=make_task()), Lane(task=make_task(goal="kind"))], buffer_frames=10_000)


def test_a_lane_by_its_suites_name() -> None:
    lane = Lane.model_validate({"suite": "audiogoal-robot-v1", "array": "respeaker_6mic", "scene_count": 7})
    assert (lane.task.name, lane.task.array, lane.task.sounds.split) == (
        "audiogoal-robot-v1",
        "respeaker_6mic",
        "train",
    )
    drawn = of_few_scenes(lane.task, lane.scene_count).scenes
    assert drawn.count == 7
    assert drawn.first_seed == lane.task.scenes.first_seed
    with pytest.raises(ValueError, match="did you mean 'audiogoal-v1'"):
        Lane.model_validate({"suite": "audiogoal-v2"})


@pytest.mark.parametrize(
    ("sources", "fields"),
    [
        ({}, 3),
        ({"distractors": 2}, 9),
        ({"goal_speed_mps": 0.5}, MOST_FIELDS),
        ({"distractor_speed_mps": 0.5}, MOST_FIELDS),
    ],
)
def test_all_places_of_a_task_are_kept(make_task: MakeTask, sources: dict[str, float], fields: int) -> None:
    """Where sources walk, way-points too, and nobody knows how many."""
    task = make_task("apartment", 3, sources=sources)
    assert kept_library(task).max_fields == fields


def test_a_lane_is_a_suites_task_but_for_what_it_changes() -> None:
    """As deep as fields go, and nothing else of the task."""
    hard = Lane.model_validate({"suite": "audiogoal-hard-v1"}).task
    changes = {"sources": {"stops_after_s": None}, "min_distance_m": 3.0}
    changed = Lane.model_validate({"suite": "audiogoal-hard-v1", "changes": changes}).task
    assert hard.sources.stops_after_s == (5.0, 15.0)
    sources = hard.sources.model_copy(update={"stops_after_s": None})
    assert changed == hard.model_copy(update={"sources": sources, "min_distance_m": 3.0})
    with pytest.raises(ValueError, match="stops_aftr_s"):
        Lane.model_validate({"suite": "audiogoal-hard-v1", "changes": {"sources": {"stops_aftr_s": None}}})
    with pytest.raises(ValueError, match="are mappings of a task's fields"):
        Lane.model_validate({"suite": "audiogoal-hard-v1", "changes": "none"})
    lanes = [Lane(task=hard), Lane(task=changed), Lane(task=hard.model_copy(update={"array": "matrix_voice"}))]
    assert lane_names(lanes) == [
        "audiogoal-hard-v1 respeaker_usb_v2", "audiogoal-hard-v1 respeaker_usb_v2 2", "audiogoal-hard-v1 matrix_voice",
    ]  # fmt: skip


def test_fields_that_were_kept_are_not_traced_again(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()

    def collect() -> torch.Tensor:
        torch.manual_seed(0)
        collecting = Collector(config, Policy(config.task.contract(), config.policy), str(tmp_path))
        return collecting.collect(1.0).chunk.features["audio"]

    first = collect()
    assert list(tmp_path.iterdir())
    monkeypatch.setattr(library, "source_field", None)  # calling it fails
    assert torch.equal(collect(), first)
