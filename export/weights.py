"""Which tensors of an exported graph were trained, by their names.

| name | what it is |
|---|---|
| `weight.NAME` | the trained parameter NAME of the policy |
| `weight.NAME.T` | the same, transposed by the exporter |
| `constant.NAME` | a constant of a front end |

A graph that says so can be made smaller without touching the front ends, and turned back into a policy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from phonotaxis.configs.base import ConfigError, build
from phonotaxis.configs.contract import Contract
from phonotaxis.configs.contract_parts import served
from phonotaxis.configs.trained import trainings
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.export.bundle import NETWORK_KEY, Bundle, BundleError, read_bundle
from phonotaxis.policies.checkpoint import Checkpoint, load_checkpoint
from phonotaxis.policies.policy import Policy

WEIGHT, CONSTANT, TRANSPOSED = "weight.", "constant.", ".T"
_MODULE = "policy."  # under which `ExportablePolicy` holds the network


def name_weights(model: onnx.ModelProto, policy: Policy) -> None:
    """Give trained weights and constants of a freshly traced graph their names, in place."""
    trained = {name: value.detach().cpu().numpy() for name, value in policy.state_dict().items()}
    renamed = {}
    for tensor in model.graph.initializer:
        own = tensor.name.removeprefix(_MODULE)
        if own != tensor.name:
            renamed[tensor.name] = (WEIGHT if own in trained else CONSTANT) + own
    found = {name.removeprefix(WEIGHT) for name in renamed.values()}
    lost = {name: value for name, value in trained.items() if value.ndim == 2 and name not in found}
    for tensor in model.graph.initializer:
        if tensor.name not in renamed and len(tensor.dims) == 2:
            values = numpy_helper.to_array(tensor)
            for name, value in lost.items():
                if values.dtype == value.dtype and np.array_equal(values, value.T):
                    renamed[tensor.name] = WEIGHT + name + TRANSPOSED
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    for tensor in model.graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)


def restored_policy(bundle: Bundle, contract: Contract | None = None) -> Policy:
    """Turn a bundle of full precision back into the policy it was exported from.

    Args:
        bundle: as `phonotaxis export` writes it.
        contract: that it is to serve, with another array or body; None takes the bundle's.

    Raises:
        BundleError: it says nothing about its network, is of lower precision, or its weights don't fit this version's
            network.
    """
    config = bundle.provenance.get(NETWORK_KEY)
    if config is None or bundle.provenance.get("precision", "fp32") != "fp32":
        raise BundleError(
            f"{bundle.path}: can't be turned back into a network: expected a bundle of full precision with its "
            "network's sizes, as `phonotaxis export` writes it; export the training again"
        )
    try:
        weights = _weights(onnx.load_from_string(bundle.data))
        policy = Policy(
            served(bundle.contract, contract), build(PolicyConfig, config, f"{bundle.path}: network")
        ).eval()
        state = policy.state_dict()
        for name, value in state.items():
            if name in weights:
                state[name] = torch.from_numpy(weights.pop(name).copy())
            elif name.endswith(".bias"):  # the exporter drops a bias of zeros
                state[name] = torch.zeros_like(value)
            elif name != "log_std":  # which only training reads
                raise BundleError(f"{bundle.path}: the weight '{name}' is absent; export the training again")
        if weights:
            raise BundleError(f"{bundle.path}: weights that this version's network lacks: {sorted(weights)[:3]}")
        policy.load_state_dict(state)
    except BundleError:
        raise
    except (ConfigError, RuntimeError, ValueError, TypeError) as error:  # a stranger's tensors may be anything
        reason = " ".join(str(error).split())[:300]
        raise BundleError(f"{bundle.path}: doesn't fit this version's network ({reason}); export it again") from None
    return policy


def as_checkpoint(bundle: Bundle) -> Checkpoint:
    """Turn a bundle of full precision back into the training it was exported from, as far as it holds that.

    Raises:
        BundleError: as `restored_policy`.
    """
    policy, config = restored_policy(bundle), trainings(bundle.provenance)
    counters = bundle.provenance.get("counters")
    return Checkpoint(
        contract=policy.contract,
        policy_config=policy.config,
        modules={"policy": policy.state_dict()},
        config=config[0] if config else {},
        counters=dict(counters) if isinstance(counters, dict) else {},
        before=config[1:],
    )


def load_trained(source: Path) -> Checkpoint:
    """Read a training's folder, or a bundle (.onnx) of full precision as the training that it was exported from.

    Raises:
        CheckpointError: no training is there, or it is damaged.
        BundleError: as `restored_policy`.
    """
    return as_checkpoint(read_bundle(source)) if source.suffix == ".onnx" else load_checkpoint(source)


def _weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    found: dict[str, Any] = {}
    for tensor in model.graph.initializer:
        if tensor.name.startswith(WEIGHT):
            name, values = tensor.name.removeprefix(WEIGHT), numpy_helper.to_array(tensor)
            turned = name.endswith(TRANSPOSED)
            found[name.removesuffix(TRANSPOSED)] = values.T if turned else values
    return found
