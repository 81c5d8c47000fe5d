"""With what a training begins: which weights learn, and which of another network fit."""

from __future__ import annotations

from dataclasses import replace

from phonotaxis.configs.base import ConfigError
from phonotaxis.configs.contract import MAX_BUNDLE_BYTES
from phonotaxis.configs.training import PolicyConfig
from phonotaxis.policies.checkpoint import Checkpoint
from phonotaxis.policies.policy import KNOB, Policy


def let_learn(policy: Policy, beginnings: tuple[str, ...]) -> None:
    """Let only those weights learn whose names begin so; all that can where nothing is said.

    Raises:
        ConfigError: no weight's name begins so.
    """
    names = [name for name, value in policy.named_parameters() if value.requires_grad]
    for beginning in beginnings:
        if not any(name.startswith(beginning) for name in names):
            known = sorted({name.rpartition(".")[0].rpartition(".")[0] or name for name in names})
            raise ConfigError(f"learns: no weight's name begins with '{beginning}'; they begin with {', '.join(known)}")
    if beginnings:
        for name, value in policy.named_parameters():
            value.requires_grad_(name.startswith(beginnings) and value.requires_grad)


def check_fits_bundle(policy: Policy) -> None:
    """Refuse a network that no bundle may hold, before hours are spent on it.

    Raises:
        ConfigError: it has more numbers than a bundle's bytes allow.
    """
    size = sum(value.numel() * value.element_size() for value in (*policy.parameters(), *policy.buffers()))
    if size > MAX_BUNDLE_BYTES:
        raise ConfigError(
            f"the network has {size:,} bytes of weights and tables, a bundle may have {MAX_BUNDLE_BYTES:,}, so that it "
            "couldn't be exported: lower the sizes under `policy:`, or the task's front_end"
        )


def without_knob(saved: Checkpoint) -> Checkpoint:
    """Return a training without its head of preferences, which holds for the policy that it was learnt beside alone."""
    modules = {
        module: {name: value for name, value in weights.items() if not name.startswith(KNOB)}
        for module, weights in saved.modules.items()
        if module in ("policy", "average")
    }
    contract = saved.contract.model_copy(update={"caution": False})
    policy_config = saved.policy_config.model_copy(update={"caution": False})
    counters = {name: value for name, value in saved.counters.items() if not name.startswith("prefer_")}
    return replace(
        saved, contract=contract, policy_config=policy_config, modules=modules, optimizer=None, counters=counters
    )


def unlike(own: PolicyConfig, other: PolicyConfig) -> dict[str, object]:
    """Return the other's settings that differ, of those that change what is computed but no weight's shape."""
    compared = {"senses": sorted(own.senses) != sorted(other.senses)}
    if own.fusion == "attention" or own.memory == "transformer":
        compared["attention_heads"] = own.attention_heads != other.attention_heads
    for name in ("map_cells", "understood_kinds"):
        if getattr(other, name):  # these may be new
            compared[name] = getattr(own, name) != getattr(other, name)
    compared["directions"] = own.directions != other.directions and own.directions > 0 < other.directions
    return {name: getattr(other, name) for name, differs in compared.items() if differs}
