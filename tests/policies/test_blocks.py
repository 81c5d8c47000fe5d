"""Networks in blocks of one size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phonotaxis.configs import presets
from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import Contract, GoalSpec, discrete_actions
from phonotaxis.policies.blocks import ROWS, in_blocks
from phonotaxis.policies.policy import Policy


@pytest.mark.parametrize("rows", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_rows_come_back_in_their_order(rows: int) -> None:
    values = np.arange(2.0 * rows, dtype=np.float32).reshape(rows, 2)

    def double(block: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert block["x"].shape == (ROWS, 2)
        return {"y": 2.0 * block["x"], "z": block["x"][:, 0]}

    out = in_blocks(double, {"x": values})
    assert np.array_equal(out["y"], 2.0 * values)
    assert np.array_equal(out["z"], values[:, 0])


def test_a_rows_bits_depend_on_that_row_alone() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(245, 192), torch.nn.ReLU(), torch.nn.Linear(192, 7)).eval()
    rows = np.random.default_rng(0).standard_normal((3 * ROWS, 245)).astype(np.float32)

    @torch.no_grad()
    def run(block: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": network(torch.from_numpy(block["x"])).numpy()}

    together = in_blocks(run, {"x": rows})["y"]
    order = np.random.default_rng(1).permutation(len(rows))
    assert np.array_equal(in_blocks(run, {"x": rows[order]})["y"], together[order])
    assert all(np.array_equal(in_blocks(run, {"x": rows[i : i + 1]})["y"][0], together[i]) for i in range(len(rows)))


def test_a_policys_too() -> None:
    """The network at its default sizes, from features on."""
    torch.manual_seed(0)
    array = presets.load("arrays", "respeaker_usb_v2", MicrophoneArray)
    goal = GoalSpec(size=96, embedding="test")
    contract = Contract(task="test", array=array, actions=discrete_actions(0.25, 0.17, 0.25), goal=goal)
    policy = Policy(contract).eval()
    sizes = {"audio": (policy.front_ends.audio.size,), "depth": (2, 32, 32), "motion": (12,), "goal": (96,)}
    rng = np.random.default_rng(0)
    rows = {name: rng.standard_normal((2 * ROWS, *size)).astype(np.float32) for name, size in sizes.items()}

    @torch.no_grad()
    def run(block: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        features = {name: torch.from_numpy(array) for name, array in block.items()}
        return {"y": policy.step(features, policy.initial_state(ROWS), torch.zeros(ROWS, 1)).logits.numpy()}

    together = in_blocks(run, rows)["y"]
    order = rng.permutation(2 * ROWS)
    assert np.array_equal(in_blocks(run, {name: array[order] for name, array in rows.items()})["y"], together[order])
    alone = in_blocks(run, {name: array[3:4] for name, array in rows.items()})["y"]
    assert np.array_equal(alone[0], together[3])
