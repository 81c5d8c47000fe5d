"""Training by imitation: it learns, repeats to the last bit, and its shares fall as configured."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from phonotaxis.commands.provenance import provenance
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.lanes import Lane
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.configs.trained import trainings
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies import imitation
from phonotaxis.policies.checkpoint import CheckpointError, has_checkpoint, load_checkpoint
from phonotaxis.policies.collect import Collector
from phonotaxis.policies.divergence import DivergedError
from phonotaxis.policies.imitation import NEW_MAP, CollectorLost, ImitationTrainer, Progress
from phonotaxis.policies.losses import imitation_losses
from phonotaxis.policies.policy import Policy

MakeConfig = Callable[..., ImitationConfig]


def weights(policy: Policy) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in policy.state_dict().items()}


def test_the_loss_of_one_batch_falls(make_config: MakeConfig) -> None:
    config = make_config()
    torch.manual_seed(0)
    policy = Policy(config.task.contract(), config.policy)
    chunk = Collector(config, policy).collect(0.5).chunk
    chunk = chunk._replace(features={name: value.float() for name, value in chunk.features.items()})
    policy.train()
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    history = []
    for _ in range(60):
        output = policy.unroll(chunk.features, chunk.state, chunk.episode_start)
        losses = imitation_losses(output, chunk, config.task)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        history.append({name: value.item() for name, value in losses._asdict().items()})
    first, last = history[0], history[-1]
    assert last["total"] < 0.8 * first["total"]
    for name in ("regret", "imitation", "bearing", "distance"):
        assert last[name] < first[name], name


def test_the_same_rounds_twice_are_the_same_weights(make_config: MakeConfig) -> None:
    """Three rounds, learning beside the collecting process; the average lags behind what is trained."""
    told: list[Progress] = []
    runs = []
    for listener in (told.append, None):
        trainer = ImitationTrainer(make_config())
        averaged = trainer.run(listener)
        assert averaged is trainer.average
        runs.append((weights(trainer.policy), weights(trainer.average)))
    for ours, theirs in zip(*runs):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    trained, averaged_weights = runs[0]
    assert any(not torch.equal(trained[name], averaged_weights[name]) for name in trained)
    assert told[-1].frames == 3 * 24
    assert told[-1].share == 1.0
    assert [progress.frames for progress in told] == sorted(progress.frames for progress in told)
    assert set(told[-1].losses) == {"total", "regret", "imitation", "bearing", "distance", "belief", "value"}
    assert all(0.0 <= progress.success <= 1.0 for progress in told)


def test_another_seed_is_another_training(make_config: MakeConfig) -> None:
    first, second = (weights(ImitationTrainer(make_config(seed=seed)).policy) for seed in (0, 1))
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_what_is_sent_to_the_collector_does_not_change_under_it(make_config: MakeConfig) -> None:
    """It is pickled in another thread, while the weights are already being trained."""
    trainer = ImitationTrainer(make_config())
    sent = trainer._weights()
    before = {name: value.copy() for name, value in sent.items()}
    trainer.buffer.add(Collector(trainer.config, trainer.policy).collect(1.0).chunk)
    assert trainer._learn()
    assert all((sent[name] == before[name]).all() for name in sent)
    assert any((trainer._weights()[name] != before[name]).any() for name in before)


def test_without_experience_there_is_nothing_to_learn(make_config: MakeConfig) -> None:
    trainer = ImitationTrainer(make_config())
    before = weights(trainer.policy)
    assert trainer._learn() == {}
    assert all(torch.equal(before[name], value) for name, value in trainer.policy.state_dict().items())


def test_the_experts_share_falls(make_config: MakeConfig) -> None:
    trainer = ImitationTrainer(make_config(max_frames=100 * 24, expert_until=0.5))
    shares = []
    for trainer.rounds in range(101):
        shares.append(trainer._expert_share())
    assert shares[0] == 1.0
    assert all(later <= earlier for earlier, later in zip(shares, shares[1:]))
    assert shares[50:] == [shares[-1]] * 51
    assert shares[-1] < 0.5


def test_training_nothing_more_changes_nothing(make_config: MakeConfig, tmp_path: Path) -> None:
    """Resuming what is done loads and saves, and starts no process."""
    first = ImitationTrainer(make_config(), tmp_path)
    first.rounds, first.seconds = 3, 12.5
    first.save()
    again = ImitationTrainer(make_config(seed=5), tmp_path)
    again.resume()
    assert (again.rounds, again.seconds, again.share) == (3, 12.5, 1.0)
    again.run()
    assert all(torch.equal(value, first.policy.state_dict()[name]) for name, value in again.policy.state_dict().items())


def test_a_training_begins_with_anothers_weights(make_config: MakeConfig, tmp_path: Path) -> None:
    first = ImitationTrainer(make_config(), tmp_path)
    first.save()
    again = ImitationTrainer(make_config(seed=5))
    again.start_from(load_checkpoint(tmp_path).policy())
    for policy in (again.policy, again.average):
        assert all(torch.equal(value, first.average.state_dict()[name]) for name, value in policy.state_dict().items())
    assert again.rounds == 0


def test_what_a_policy_was_trained_on_before_is_kept(make_config: MakeConfig, tmp_path: Path) -> None:
    ImitationTrainer(make_config(seed=3), tmp_path / "a").save()
    first = load_checkpoint(tmp_path / "a")
    second = ImitationTrainer(make_config(seed=4), tmp_path / "b")
    second.start_from(first.policy(), first.trainings)
    second.save()
    third = ImitationTrainer(make_config(seed=5), tmp_path / "b")
    third.resume()
    third.save()
    saved = load_checkpoint(tmp_path / "b")
    assert [config["seed"] for config in saved.trainings] == [5, 3]
    assert trainings(provenance(saved)) == saved.trainings
    assert trainings(provenance(first)) == (first.config,)


def test_a_map_is_added_to_a_policy_without_one(make_config: MakeConfig, tmp_path: Path) -> None:
    first = ImitationTrainer(make_config(), tmp_path)
    first.save()
    config = make_config(seed=5)
    again = ImitationTrainer(config.model_copy(update={"policy": config.policy.model_copy(update={"map_cells": 6})}))
    again.start_from(load_checkpoint(tmp_path).policy())
    given = again.average.state_dict()
    assert all(torch.equal(value, given.pop(name)) for name, value in first.average.state_dict().items())
    assert given
    assert all(name.startswith(NEW_MAP) for name in given)
    assert not given["mind.map.read.weight"].any()


def test_weights_of_another_network_are_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    ImitationTrainer(make_config(), tmp_path).save()
    config = make_config()
    larger = config.policy.model_copy(update={"memory_size": 2 * config.policy.memory_size})
    with pytest.raises(CheckpointError, match=r"other sizes.*'memory_size': \d+\}"):
        ImitationTrainer(config.model_copy(update={"policy": larger})).start_from(load_checkpoint(tmp_path).policy())


@pytest.mark.parametrize(
    ("network", "setting", "fits"),
    [
        ({}, {"senses": ("audio",)}, False),
        ({"fusion": "attention"}, {"attention_heads": 1}, False),
        ({"memory": "transformer"}, {"attention_heads": 1}, False),
        ({"map_cells": 6}, {"map_cells": 8}, False),
        ({}, {"senses": ("depth", "audio"), "attention_heads": 1}, True),  # in another order, and nothing attends
    ],
)
def test_weights_of_a_network_that_computes_otherwise_are_refused(
    make_config: MakeConfig, network: dict[str, Any], setting: dict[str, Any], fits: bool
) -> None:
    """Their shapes are the same, and nothing else would tell."""
    config = make_config()
    theirs = config.policy.model_copy(update=network)
    trainer = ImitationTrainer(config.model_copy(update={"policy": theirs.model_copy(update=setting)}))
    other = Policy(config.task.contract(), theirs)
    if fits:
        trainer.start_from(other)
        return
    with pytest.raises(CheckpointError, match=f"computes otherwise; name it under `policy:`.*{next(iter(setting))}"):
        trainer.start_from(other)


def test_numbers_that_are_not_finite_are_not_learnt_from(make_config: MakeConfig) -> None:
    trainer = ImitationTrainer(make_config())
    chunk = Collector(trainer.config, trainer.policy).collect(1.0).chunk
    trainer.buffer.add(chunk._replace(bearing_rad=torch.full_like(chunk.bearing_rad, torch.nan)))
    before = weights(trainer.policy)
    with pytest.raises(DivergedError, match=r"the loss in bearing is nan.*learning_rate under 0\.001"):
        trainer._learn()
    assert all(torch.equal(before[name], value) for name, value in trainer.policy.state_dict().items())


def test_what_diverged_takes_no_good_checkpoints_place(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(self: ImitationTrainer) -> dict[str, float]:
        raise DivergedError("the loss is nan")

    def take(self: ImitationTrainer, collected: None) -> None:
        self.rounds += 1

    monkeypatch.setattr(imitation, "ProcessPoolExecutor", lambda *rest, **more: ThreadPoolExecutor(1))
    monkeypatch.setattr(imitation, "collect_round", lambda *rest: None)
    monkeypatch.setattr(ImitationTrainer, "_take", take)
    monkeypatch.setattr(ImitationTrainer, "_learn", diverge)
    trainer = ImitationTrainer(make_config(), tmp_path)
    trainer.save()
    with pytest.raises(DivergedError):
        trainer.run()
    assert trainer.rounds == 1
    assert [place.name for place in tmp_path.iterdir()] == ["checkpoint-000001"]


def test_frames_that_are_collected_before_anything_is_learnt_are_too_few(make_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match="max_frames must be over 24, the first round.*got 24"):
        make_config(max_frames=24)
    assert make_config(max_frames=25).max_frames == 25


@pytest.mark.parametrize("name", ["success_reward", "step_reward", "progress_reward_per_m"])
def test_lanes_are_rewarded_alike(make_config: MakeConfig, name: str) -> None:
    """One value is learnt of them all, by the first lane's rewards."""
    task = make_config().task
    other = task.model_copy(update={name: 0.5})
    with pytest.raises(ValueError, match=rf"lanes\.1: its task\.{name} is 0\.5, that of the first lane"):
        make_config(lanes=(Lane(task=task), Lane(task=other)))


def test_weights_that_are_told_a_goal_fit_no_task_without_one(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config()
    named = config.model_copy(update={"task": config.task.model_copy(update={"goal": "none"})})
    ImitationTrainer(named, tmp_path).save()
    with pytest.raises(CheckpointError, match="are of a policy that can be told what to find; say `goal: none`"):
        ImitationTrainer(config).start_from(load_checkpoint(tmp_path).policy())
    ImitationTrainer(named).start_from(load_checkpoint(tmp_path).policy())


def test_a_knob_is_left_behind(make_config: MakeConfig) -> None:
    """It holds for the policy that it was learnt beside, which goes on learning."""
    config = make_config()
    careful = Policy(config.task.contract(), config.policy.model_copy(update={"caution": True}))
    trainer = ImitationTrainer(config)
    trainer.start_from(careful)
    given = careful.state_dict()
    assert all(torch.equal(value, given[name]) for name, value in trainer.policy.state_dict().items())


def test_a_task_that_can_not_begin_says_why_and_leaves_the_folder_free(
    make_config: MakeConfig, make_task: Callable[..., AudioGoalTask], tmp_path: Path
) -> None:
    """Its worlds are made in another process."""
    far = make_task(min_distance_m=39.0)
    with pytest.raises(ValueError, match="39"):
        ImitationTrainer(make_config(task=far), tmp_path).run()
    assert not has_checkpoint(tmp_path)


def test_a_collector_that_is_killed_is_no_defect(make_config: MakeConfig, tmp_path: Path) -> None:
    """The system kills what takes most memory; what was learnt until then is saved."""
    trainer = ImitationTrainer(make_config(minutes=60.0), tmp_path)

    def kill(progress: Progress) -> None:
        (collector,) = multiprocessing.active_children()
        collector.kill()

    with pytest.raises(CollectorLost, match="was killed, mostly by the system for want of memory: fewer worlds"):
        trainer.run(kill)
    assert load_checkpoint(tmp_path).counters["rounds"] >= 1


def test_a_network_that_no_bundle_may_hold_is_refused_before_it_learns(make_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match=r"the network has 1\d\d,.* a bundle may have 67,108,864.*lower the sizes"):
        ImitationTrainer(make_config(policy=PolicyConfig(memory_size=2048)))


def test_weights_learnt_behind_another_front_end_are_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    """Of the same sizes too: the numbers mean something else."""
    config = make_config()
    front_end = config.task.front_end.model_copy(update={"weighting": "phase"})
    ImitationTrainer(
        config.model_copy(update={"task": config.task.model_copy(update={"front_end": front_end})}), tmp_path
    ).save()
    with pytest.raises(CheckpointError, match=r"other features of sound.*onset.*phase.*front_end:"):
        ImitationTrainer(config).start_from(load_checkpoint(tmp_path).policy())
