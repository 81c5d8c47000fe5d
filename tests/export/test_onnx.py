from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch

from phonotaxis.configs.contract import ContinuousActions, Contract, GoalSpec
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.export.bundle import Bundle, open_bundle
from phonotaxis.export.engines import open_engine
from phonotaxis.export.onnx import OPSET, ExportError, export_policy
from phonotaxis.policies.policy import ExportablePolicy, Policy


def test_one_file_of_standard_operators(bundle: Bundle) -> None:
    model = onnx.load_from_string(bundle.data)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx"}
    assert model.opset_import[0].version == OPSET
    assert not model.functions
    # TensorRT has no Fourier operators, and scatters and loops are slow there.
    assert not {node.op_type for node in model.graph.node} & {
        "STFT",
        "DFT",
        "GRU",
        "Loop",
        "Scan",
        "ScatterND",
    }


def test_names_no_path_of_the_machine(bundle: Bundle) -> None:
    for mark in (b"site-packages", b"/home/", b"/work", b".py"):
        assert mark not in bundle.data


def test_contract_and_provenance_go_along(bundle: Bundle, policy: Policy) -> None:
    assert bundle.contract == policy.contract
    assert bundle.contract.state_shape == (48,)
    assert bundle.provenance.items() >= {"commit": "abc", "frames": 12}.items()
    assert bundle.provenance["network"] == policy.config.model_dump(mode="json")


def test_continuous_attention_and_goal(contract: Contract) -> None:
    """The other forms of contract and network, in one export."""
    torch.manual_seed(0)
    changed = contract.model_copy(update={"actions": ContinuousActions(), "goal": GoalSpec(size=7, embedding="test")})
    policy = Policy(changed, PolicyConfig(fusion="attention", memory_size=24)).train()
    with torch.no_grad():
        policy.heads.action[-1].weight.mul_(200.0)  # beyond the bounds, so that clipping shows
    bundle = open_bundle(export_policy(policy, {}))
    assert policy.training
    received = _check_same(policy, bundle)
    assert received["action"].shape == (5, 3)
    np.testing.assert_array_equal(received["action"], np.clip(received["mean"], -1, 1))


def _check_same(policy: Policy, bundle: Bundle) -> dict[str, np.ndarray]:
    """Hold a bundle's outputs for random inputs against the policy's; returns them."""
    rng = np.random.default_rng(1)
    inputs = {s.name: rng.uniform(-1, 1, (5, *s.shape)).astype(np.float32) for s in policy.contract.inputs()}
    received = open_engine(bundle).run(inputs)
    exportable = ExportablePolicy(policy).eval()
    with torch.no_grad():
        expected = exportable(*(torch.from_numpy(inputs[name]) for name in exportable.input_names))
    for name, value in zip(exportable.output_names, expected):
        np.testing.assert_allclose(received[name], value.numpy(), atol=2e-5, err_msg=name)
    return received


@pytest.mark.parametrize(("n_fft", "hop"), [(256, 100), (512, 160)])
def test_frames_that_overlap_unevenly_are_exported_too(contract: Contract, n_fft: int, hop: int) -> None:
    front_end = contract.front_end.model_copy(update={"n_fft": n_fft, "hop": hop})
    policy = Policy(contract.model_copy(update={"front_end": front_end}), PolicyConfig(memory_size=24))
    _check_same(policy, open_bundle(export_policy(policy, {})))


def test_a_diverged_policy_is_not_exported(policy: Policy) -> None:
    broken = copy.deepcopy(policy)
    with torch.no_grad():
        broken.heads.value.bias.fill_(float("nan"))
    with pytest.raises(ExportError, match=r"heads\.value\.bias.*not finite"):
        export_policy(broken, {})
