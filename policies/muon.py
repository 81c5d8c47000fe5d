"""Muon: steps along the orthogonal part of a matrix's momentum, and AdamW for what is no matrix.

A gradient's momentum is mostly of low rank, so that a step along it moves a few directions of a weight much and the
rest hardly. Here all of its singular values are brought near one first, by Newton and Schulz's iteration (Jordan et al.
2024, Muon: An optimizer for hidden layers in neural networks), and a step is scaled by the larger side, so that one
rate serves all shapes (Liu et al. 2025, Muon is scalable for LLM training, section 2.2). What it is worth here:
docs/findings.md.

torch has a `Muon`, which iterates in bfloat16 whatever the processor: where hardware doesn't multiply that, a step of
the preset's network takes seconds. A matrix of 640 x 320 takes 17 ms of a core in float32, and 6 in bfloat16 where the
core multiplies that.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_ITERATIONS = 5
_FACTORS = (3.4445, -4.775, 2.0315)  # of the iteration's odd powers: fast from zero, not exact at one (Jordan)
_LIKE_ADAM = 0.2  # root mean square of a step of AdamW, which a step is scaled to (Liu)
_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # AdamW's
_LEAST = 24  # a matrix with fewer rows or columns is left to AdamW, as vectors are
_HALF_FROM = 128  # with fewer, conversions take longer than what bfloat16 saves


class Muon(torch.optim.Optimizer):
    """Muon for a module's matrices, AdamW (Loshchilov and Hutter 2019) for all else that learns.

    Args:
        module: whose parameters learn, but for those that need no gradient.
        rate: of AdamW.
        matrix_rate: of the matrices.
        weight_decay: of both, times the rate.
        half: iterate in bfloat16, where that is faster.

    Attributes:
        half: iterates in bfloat16, where that is faster.
        param_groups: the matrices, then the rest; each with its `lr`, which a training changes, and the `peak` of it.
    """

    def __init__(
        self, module: nn.Module, rate: float, matrix_rate: float, weight_decay: float, half: bool = False
    ) -> None:
        """Part the parameters."""
        learning = [value for value in module.parameters() if value.requires_grad]
        matrices = [value for value in learning if value.ndim == 2 and min(value.shape) >= _LEAST]
        chosen = {id(value) for value in matrices}
        rest = [value for value in learning if id(value) not in chosen]
        parts = [("matrices", matrices, matrix_rate), ("rest", rest, rate)]
        groups = [{"params": values, "lr": lr, "peak": lr, "name": name} for name, values, lr in parts if values]
        super().__init__(groups, {"weight_decay": weight_decay})
        self.half = half

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step along the gradients that there are."""
        assert closure is None
        for group in self.param_groups:
            take = self._along_matrix if group["name"] == "matrices" else self._as_adam
            for value in group["params"]:
                if value.grad is not None:
                    value.mul_(1.0 - group["lr"] * group["weight_decay"])
                    take(value, value.grad, group["lr"])

    def _along_matrix(self, value: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[value]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].lerp_(gradient, 1.0 - _MOMENTUM)
        ahead = gradient.lerp(momentum, _MOMENTUM)  # Nesterov's
        value.add_(orthogonal(ahead, self.half), alpha=-rate * _LIKE_ADAM * math.sqrt(max(value.shape)))

    def _as_adam(self, value: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[value]
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(value), "square": torch.zeros_like(value)}
        state["step"] += 1
        first, second = (1.0 - beta ** state["step"] for beta in _BETAS)
        mean = state["mean"].lerp_(gradient, 1.0 - _BETAS[0])
        square = state["square"].mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1.0 - _BETAS[1])
        value.addcdiv_(mean, (square / second).sqrt_().add_(_EPSILON), value=-rate / first)


def orthogonal(matrix: Tensor, half: bool = False) -> Tensor:
    """Return the matrix with its singular values brought near one, but for those that are nearly nothing.

    Args:
        matrix: float32 [rows, columns], of any scale; zeros stay zeros.
        half: iterate in bfloat16, where the matrix is large enough for that to be faster.

    Returns:
        float32 of the same shape.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.T if tall else matrix
    found = (found / found.norm().clamp(min=1e-20)).contiguous()
    if half and min(matrix.shape) >= _HALF_FROM:
        found = found.bfloat16()
    linear, cubic, quintic = _FACTORS
    for _ in range(_ITERATIONS):
        gram = found @ found.T
        factor = torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic)
        found = torch.addmm(found, factor, found, beta=linear)
    found = found.float()
    return found.T if tall else found
