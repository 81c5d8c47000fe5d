"""Half precision in training: where it is used, and that it learns what single precision learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import Contract, discrete_actions
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.memory import build_memory
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.precision import multiplies_bfloat16, single

SMALL = PolicyConfig(memory_size=32, audio_hidden=32, audio_size=32, depth_size=32, depth_channels=(4, 8), map_cells=12)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 vnni\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags\t\t: fpu avx512f not_bf16\n", False),
        ("", False),
    ],
)
def test_processors_that_multiply_it(tmp_path: Path, text: str, found: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert multiplies_bfloat16(tmp_path / "cpuinfo") is found
    assert not multiplies_bfloat16(tmp_path / "absent")


def test_gradients_are_single_and_nearly_the_same() -> None:
    torch.manual_seed(0)
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    policy = Policy(Contract(task="test", array=array, actions=discrete_actions(0.25, 0.17, 0.25)), SMALL)
    features = {
        "audio": torch.randn(6, 2, policy.front_ends.audio.size),
        "depth": torch.rand(6, 2, 2, 32, 32),
        "motion": torch.rand(6, 2, 12),
    }

    def gradient(half: bool) -> torch.Tensor:
        policy.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            output = policy.unroll(features, policy.initial_state(2), torch.zeros(6, 2, 1))
        output = single(output)
        assert output.belief is not None
        assert output.logits.dtype == output.state.dtype == output.belief.log_p.dtype == torch.float32
        (output.logits.square().mean() + output.bearing.square().mean() - output.belief.log_p.max()).backward()
        found = [weight.grad for weight in policy.parameters() if weight.grad is not None]
        assert all(grad.dtype == torch.float32 for grad in found)
        return torch.cat([grad.flatten() for grad in found])

    whole, half = gradient(half=False), gradient(half=True)
    assert not torch.equal(whole, half)  # it is another arithmetic
    assert float(torch.cosine_similarity(whole, half, dim=0)) > 0.99


@pytest.mark.parametrize("kind", ["gru", "mingru", "lstm"])
def test_what_is_kept_is_kept_as_long_in_half_precision(kind: str) -> None:
    """A share of 0.993 a step, over 64 steps: rounded to 1/256 it would be 0.992 or 0.996."""
    memory = build_memory(8, SMALL.model_copy(update={"memory": kind}))
    with torch.no_grad():
        for name, weight in memory.named_parameters():
            weight.zero_()
            if name.endswith("bias"):
                size = weight.numel() // {"gru": 3, "mingru": 2, "lstm": 4}[kind]
                gate, pre = {"gru": (1, 2.5), "mingru": (0, -5.0), "lstm": (1, 5.0)}[kind]
                weight[gate * size : (gate + 1) * size] = pre
    state, starts = torch.ones(2, memory.state_size), torch.zeros(64, 2, 1)
    inputs = torch.zeros(64, 2, 8)
    whole = memory.unroll(inputs, state, starts)[-1]
    with torch.autocast("cpu", torch.bfloat16):
        half = memory.unroll(inputs, state, starts)[-1]
    assert half.dtype == torch.float32
    assert float(whole.detach().max()) > 0.5
    torch.testing.assert_close(half, whole, rtol=0.01, atol=1e-3)
