"""Alters copies of episodes with every checksum repaired, to show that replay finds it all the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from phonotaxis.configs.contract import ACTION, DiscreteActions
from phonotaxis.deploy import messages
from phonotaxis.deploy.devices import AudioBlock
from phonotaxis.deploy.episode_info import EpisodeError
from phonotaxis.deploy.episode_reader import Episode, SampleIndex, decode, read_episode
from phonotaxis.deploy.messages import decode_tensor, encode_tensor
from phonotaxis.deploy.observation import digest
from phonotaxis.deploy.records import Message
from phonotaxis.deploy.recover import rewrite
from phonotaxis.deploy.replay_feed import replayed
from phonotaxis.deploy.steps import action_name


def alter_sample(source: Path, target: Path, step: int, microphone: int = 0, flip: int = 0x4000) -> int:
    """Copy an episode with one audio sample of a step changed, and every observation's digest repaired.

    Args:
        source: the episode.
        target: the copy; must not exist.
        step: in whose last samples the change is made.
        microphone: number of the microphone, in the policy's order.
        flip: bits of the sample that are inverted.

    Returns:
        The index of the altered sample.

    Raises:
        EpisodeError: not an episode, or without such a step.
        OSError: the copy can't be written.
    """
    episode = read_episode(source)
    sample = _logged_step(episode, step)["end_sample"] - 1
    channel = episode.info.robot.array.channel_map[microphone]
    index = SampleIndex()

    def edit(message: Message) -> Message:
        if message.topic != messages.AUDIO_TOPIC:
            return message
        block: AudioBlock = decode(message, index)
        at = sample - block.first_sample
        if not 0 <= at < block.samples.shape[1]:
            return message
        samples = block.samples.copy()
        samples[channel, at] ^= np.int16(flip)
        altered = AudioBlock(samples, block.first_sample, block.capture_ns)
        return replace(message, data=messages.encode_audio(altered, episode.info.robot.sample_rate_hz))

    rewrite(episode, target, lambda found: _with_digests(episode, [edit(message) for message in found]))
    return int(sample)


def _with_digests(episode: Episode, changed: list[Message]) -> list[Message]:
    """Return the messages with the digests that their own samples and frames have."""
    copy = replace(episode, messages=changed)
    right = {found.logged["step"]: digest(found.observation) for found in replayed(copy) if found.due is not None}

    def repair(message: Message) -> Message:
        if message.topic != messages.STEP_TOPIC:
            return message
        step = json.loads(message.data)
        step["observation_sha256"] = right.get(step["step"], step["observation_sha256"])
        return replace(message, data=messages.encode_json(step))

    return [repair(message) for message in changed]


def alter_action(source: Path, target: Path, step: int) -> str:
    """Copy an episode with one logged action changed, and all that is told about it changed along.

    Args:
        source: the episode.
        target: the copy; must not exist.
        step: whose action is changed (discrete: to the next one; continuous: its first number negated).

    Returns:
        The name of the action that the copy claims.

    Raises:
        EpisodeError: not an episode, or without such a step.
        OSError: the copy can't be written.
    """
    episode = read_episode(source)
    claimed = _with_other_action(episode, _logged_step(episode, step))

    def edit(message: Message) -> Message:
        if message.topic == messages.STEP_TOPIC and json.loads(message.data)["step"] == step:
            return replace(message, data=messages.encode_json(claimed))
        return message

    rewrite(episode, target, lambda found: [edit(message) for message in found])
    return str(claimed["action_name"])


def _with_other_action(episode: Episode, step: dict[str, Any]) -> dict[str, Any]:
    contract, outputs = episode.info.contract, dict(step["outputs"])
    action = decode_tensor(outputs[ACTION])
    if isinstance(contract.actions, DiscreteActions):
        other = np.asarray((int(action) + 1) % contract.num_actions, dtype=np.int64)
    else:
        other = np.array([0.5 if action[0] == 0 else -action[0], *action[1:]], dtype=np.float32)
    outputs[ACTION] = encode_tensor(other)
    v_mps, w_radps, stop = contract.setpoint(other)
    told = {"action_name": action_name(contract, other), "v_mps": v_mps, "w_radps": w_radps, "stop": stop}
    return {**step, "outputs": outputs, **told}


def _logged_step(episode: Episode, step: int) -> dict[str, Any]:
    for logged in episode.steps():
        if logged["step"] == step:
            return logged
    raise EpisodeError(f"{episode.path}: no step {step} in it (it has {len(episode.steps())})")
