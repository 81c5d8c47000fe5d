"""Fusion: from the embeddings of all senses to the one vector that is remembered."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from phonotaxis.configs.training import PolicyConfig


class Fusion(Protocol):
    """Embeddings in, one vector out; `size` is its length."""

    size: int

    def __call__(self, vectors: list[Tensor], depth_tokens: Tensor) -> Tensor:
        """Fuse; vectors float32 [batch, size of each], depth_tokens [batch, tokens, channels]."""
        ...


class Concatenate(nn.Module):
    """Flatten the depth map into a vector and put all vectors in a row: cheap, and enough for few senses."""

    def __init__(self, vector_sizes: list[int], tokens: int, channels: int, config: PolicyConfig) -> None:
        """Build the layer that narrows the depth map."""
        super().__init__()
        self.size = sum(vector_sizes) + config.depth_size
        self.depth = nn.Sequential(nn.Linear(tokens * channels, config.depth_size), nn.ReLU())

    def forward(self, vectors: list[Tensor], depth_tokens: Tensor) -> Tensor:
        """See `Fusion`; returns float32 [batch, size]."""
        return torch.cat([*vectors, self.depth(depth_tokens.flatten(1))], dim=1)


class FeatureWiseModulation(nn.Module):
    """What is heard and sought scales and shifts what is seen (FiLM, Perez et al. 2018), cell by cell."""

    def __init__(self, vector_sizes: list[int], tokens: int, channels: int, config: PolicyConfig) -> None:
        """Build the layers that modulate and that narrow the depth map."""
        super().__init__()
        self.size = sum(vector_sizes) + config.depth_size
        self.modulation = nn.Linear(sum(vector_sizes), 2 * channels)
        self.depth = nn.Sequential(nn.Linear(tokens * channels, config.depth_size), nn.ReLU())

    def forward(self, vectors: list[Tensor], depth_tokens: Tensor) -> Tensor:
        """See `Fusion`; returns float32 [batch, size]."""
        context = torch.cat(vectors, dim=1)
        scale, shift = self.modulation(context)[:, None].chunk(2, dim=2)
        seen = torch.relu(depth_tokens * (1.0 + scale) + shift)
        return torch.cat([context, self.depth(seen.flatten(1))], dim=1)


class CrossModalAttention(nn.Module):
    """A small pre-norm transformer over one token a sense and one a depth cell (Vaswani et al. 2017).

    What is returned is a read-out token, so its size doesn't depend on the number of senses.
    """

    def __init__(self, vector_sizes: list[int], tokens: int, channels: int, config: PolicyConfig) -> None:
        """Build projections to the token size, learnt position and sense embeddings, and the blocks."""
        super().__init__()
        self.size = config.attention_size
        self.projections = nn.ModuleList([nn.Linear(size, self.size) for size in vector_sizes])
        self.depth = nn.Linear(channels, self.size)
        self.places = nn.Parameter(torch.randn(1, 1 + len(vector_sizes) + tokens, self.size) * 0.1)
        blocks = [_Block(self.size, config.attention_heads) for _ in range(config.attention_layers)]
        self.blocks = nn.Sequential(*blocks, nn.LayerNorm(self.size))

    def forward(self, vectors: list[Tensor], depth_tokens: Tensor) -> Tensor:
        """See `Fusion`; returns float32 [batch, size]."""
        senses = [layer(vector)[:, None] for layer, vector in zip(self.projections, vectors)]
        read_out = torch.zeros_like(senses[0])
        tokens = torch.cat([read_out, *senses, self.depth(depth_tokens)], dim=1) + self.places
        fused: Tensor = self.blocks(tokens)
        return fused[:, 0]


class _Block(nn.Module):
    """Self-attention and a perceptron, each with a residual, written out: it exports as plain products."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_layers = nn.LayerNorm(size), nn.LayerNorm(size)
        self.qkv, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.layers = nn.Sequential(nn.Linear(size, 2 * size), nn.ReLU(), nn.Linear(2 * size, size))

    def forward(self, tokens: Tensor) -> Tensor:
        split = self.qkv(self.before_attention(tokens)).unflatten(2, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)  # each [batch, heads, tokens, head size]
        weights = torch.softmax(query @ key.transpose(2, 3) * key.shape[-1] ** -0.5, dim=-1)
        tokens = tokens + self.out((weights @ value).transpose(1, 2).flatten(2))
        fused: Tensor = tokens + self.layers(self.before_layers(tokens))
        return fused


KINDS: dict[str, type[Concatenate | FeatureWiseModulation | CrossModalAttention]] = {
    "concatenate": Concatenate,
    "film": FeatureWiseModulation,
    "attention": CrossModalAttention,
}


def build_fusion(
    vector_sizes: list[int], tokens: int, channels: int, config: PolicyConfig
) -> Concatenate | FeatureWiseModulation | CrossModalAttention:
    """Return the fusion that the configuration names.

    Args:
        vector_sizes: length of each sense's embedding, in the order they will be given.
        tokens: number of depth tokens.
        channels: length of a depth token.
        config: names the fusion and its sizes.
    """
    return KINDS[config.fusion](vector_sizes, tokens, channels, config)
