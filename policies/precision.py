"""Half precision in training: products in bfloat16 where the processor multiplies it, all else in float32."""

from __future__ import annotations

from pathlib import Path

from phonotaxis.policies.belief import Belief
from phonotaxis.policies.policy import PolicyOutput

_UNITS = {"avx512_bf16", "amx_bf16", "bf16"}  # as the kernel calls them, of x86-64 and of aarch64


def multiplies_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Say whether this processor has instructions for products of bfloat16; without, they are slower than float32's."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not _UNITS.isdisjoint(flags.partition(":")[2].split())


def single(output: PolicyOutput) -> PolicyOutput:
    """Return an output with all its tensors as float32, for losses."""
    heads = {name: value.float() for name, value in output.tensors().items()}
    belief = output.belief and Belief(*(part.float() for part in output.belief))
    directions = None if output.directions is None else output.directions.float()
    return PolicyOutput(**heads, belief=belief, directions=directions)
