"""The bundled model in torch: a small Llama whose mask puts the rows of a case side by side.

Rows of one case begin at the same position and do not see each other. Later cases see only the answers of earlier
cases. So the order of vehicles has no meaning, more vehicles need no more positions, and llama.cpp keeps only three
cells of its cache per vehicle and case. `policies.llm.bundled.engine` does this with sequences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policies.llm.bundled.vocabulary import (
    ANSWER_AT,
    LENGTH_CASE,
    LENGTH_HEADER,
    LENGTH_ROW,
    NUM_ANSWER,
    NUM_TOKEN,
    PRICE,
    PRICE_FIRST,
    WORDS,
)
from policies.marl.isolation import own_random


@dataclass(frozen=True)
class Shape:
    """Sizes of the network.

    Parameters
    ----------
    width : of the residual stream
    depth : layers
    num_head, num_kv_head : of attention
    num_hidden : width of the feed-forward part
    rope_base : of the rotary positions
    """

    width: int = 256
    depth: int = 4
    num_head: int = 4
    num_kv_head: int = 2
    num_hidden: int = 512
    rope_base: float = 10000.0

    @property
    def head_width(self) -> int:
        """Width of one head."""
        return self.width // self.num_head


class Layer(nn.Module):
    """Attention and a gated feed-forward part, each behind a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, kv = shape.width, shape.num_kv_head * shape.head_width
        self.shape = shape
        self.attn_norm = nn.RMSNorm(width, eps=1e-5)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, kv, bias=False)
        self.attn_v = nn.Linear(width, kv, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = nn.RMSNorm(width, eps=1e-5)
        self.ffn_gate = nn.Linear(width, shape.num_hidden, bias=False)
        self.ffn_up = nn.Linear(width, shape.num_hidden, bias=False)
        self.ffn_down = nn.Linear(shape.num_hidden, width, bias=False)

    def forward(self, x: Tensor, plan: AttentionPlan) -> Tensor:
        """Return the stream after this layer, [B, T, width]."""
        h = self.attn_norm(x)
        q = plan.rotate(self._heads(self.attn_q(h), self.shape.num_head))
        k = plan.rotate(self._heads(self.attn_k(h), self.shape.num_kv_head))
        v = self._heads(self.attn_v(h), self.shape.num_kv_head)
        x = x + self.attn_output(plan.attend(q, k, v))
        h = self.ffn_norm(x)
        gated: Tensor = x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))
        return gated

    def _heads(self, x: Tensor, count: int) -> Tensor:
        """Return [B, heads, T, head_width]."""
        return x.view(*x.shape[:2], count, -1).transpose(1, 2)


class AttentionPlan:
    """Positions and masks of C cases with N vehicles each; a sequence is header, rows, header, rows, ..

    Parameters
    ----------
    num_case : C, the query included
    num_vehicle : N
    shape : of the network
    """

    def __init__(self, num_case: int, num_vehicle: int, shape: Shape, dtype: torch.dtype = torch.float32) -> None:
        self.num_case, self.num_vehicle, self.shape = num_case, num_vehicle, shape
        per_case = LENGTH_HEADER + num_vehicle * LENGTH_ROW
        place = torch.cat([torch.arange(LENGTH_HEADER), LENGTH_HEADER + torch.arange(LENGTH_ROW).repeat(num_vehicle)])
        position = (torch.arange(num_case)[:, None] * LENGTH_CASE + place).reshape(-1)
        half = shape.head_width // 2
        frequency = shape.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = position[:, None].to(torch.float64) * frequency
        self._cos, self._sin = angle.cos().to(dtype), angle.sin().to(dtype)
        self.per_case = per_case
        answers = torch.arange(num_vehicle)[:, None] * LENGTH_ROW + torch.tensor(ANSWER_AT)
        self._answers = LENGTH_HEADER + answers.reshape(-1)
        small = torch.finfo(dtype).min
        case = torch.arange(num_case)
        earlier = (case[None, :] < case[:, None]).repeat_interleave(per_case, 0)
        self._earlier = torch.where(earlier.repeat_interleave(len(self._answers), 1), 0.0, small).to(dtype)
        header = torch.ones(per_case, LENGTH_HEADER, dtype=torch.bool)
        header[:LENGTH_HEADER] = torch.ones(LENGTH_HEADER, LENGTH_HEADER, dtype=torch.bool).tril()
        self._header = torch.where(header, 0.0, small).to(dtype)
        row = torch.ones(LENGTH_ROW, LENGTH_ROW, dtype=torch.bool).tril()
        self._row = torch.where(row, 0.0, small).to(dtype)
        self._small = small

    def rotate(self, x: Tensor) -> Tensor:
        """Rotate pairs of neighbouring numbers by their positions, [B, heads, T, head_width]."""
        pairs = x.reshape(*x.shape[:-1], -1, 2)
        even, odd = pairs[..., 0], pairs[..., 1]
        turned = torch.stack([even * self._cos - odd * self._sin, even * self._sin + odd * self._cos], -1)
        return turned.flatten(-2).to(x.dtype)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return attention to the answers of earlier cases, the own header and the own row, [B, T, width]."""
        batch, heads, length, width = q.shape
        group = heads // k.shape[1]
        cases, vehicles = self.num_case, self.num_vehicle
        scale = 1.0 / math.sqrt(width)
        # Queries of the heads that share keys are one after the other, so that no key is copied.
        q = q.view(batch, -1, group, cases, self.per_case, width) * scale
        by_case_k = k.view(batch, -1, cases, self.per_case, width)
        by_case_v = v.view(batch, -1, cases, self.per_case, width)
        kv_heads = k.shape[1]

        far_k = by_case_k[:, :, :, self._answers].flatten(2, 3)
        far_v = by_case_v[:, :, :, self._answers].flatten(2, 3)
        flat = q.reshape(batch, kv_heads, group * length, width)
        far = (flat @ far_k.transpose(-1, -2)).view(batch, kv_heads, group, length, -1) + self._earlier
        far = far.view(batch, kv_heads, group, cases, self.per_case, -1)

        # Split and not sliced, because the gradient of a slice is a copy of the whole tensor.
        parts = [LENGTH_HEADER, self.per_case - LENGTH_HEADER]
        (header_k, own_k), (header_v, own_v) = torch.split(by_case_k, parts, -2), torch.split(by_case_v, parts, -2)
        near_k, near_v = header_k[:, :, None], header_v[:, :, None]
        near = q @ near_k.transpose(-1, -2) + self._header

        rows = (batch, kv_heads, 1, cases, vehicles, LENGTH_ROW, width)
        own_k, own_v = own_k.reshape(rows), own_v.reshape(rows)
        own_q = torch.split(q, parts, -2)[1].reshape(batch, kv_heads, group, *rows[3:])
        own = (own_q @ own_k.transpose(-1, -2) + self._row).flatten(-3, -2)
        own = F.pad(own, (0, 0, LENGTH_HEADER, 0), value=self._small)

        weights = torch.softmax(torch.cat([far, near, own], -1), -1)
        far_w, near_w, own_w = torch.split(weights, [far.shape[-1], LENGTH_HEADER, LENGTH_ROW], -1)
        mixed = far_w.reshape(batch, kv_heads, group * length, -1) @ far_v
        mixed = mixed.view(batch, kv_heads, group, cases, self.per_case, width) + near_w @ near_v
        own_w = torch.split(own_w, parts, -2)[1].reshape(*own_w.shape[:4], vehicles, LENGTH_ROW, LENGTH_ROW)
        own_mixed = F.pad((own_w @ own_v).flatten(-3, -2), (0, 0, LENGTH_HEADER, 0))
        total: Tensor = (mixed + own_mixed).reshape(batch, heads, length, width)
        return total.transpose(1, 2).flatten(-2)


class Network(nn.Module):
    """The model; input and output share their embeddings.

    Parameters
    ----------
    shape : sizes
    seed : of the first weights
    """

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        with own_random():  # modules draw random weights before they get those of the seed
            self.token_embd = nn.Embedding(NUM_TOKEN, shape.width)
            self.blk = nn.ModuleList(Layer(shape) for _ in range(shape.depth))
            self.output_norm = nn.RMSNorm(shape.width, eps=1e-5)
        self._begin(torch.Generator().manual_seed(seed))

    def _begin(self, random: torch.Generator) -> None:
        shape = self.shape
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                last = name.endswith(("attn_output.weight", "ffn_down.weight"))
                std = parameter.shape[1] ** -0.5 * (0.5 / math.sqrt(2 * shape.depth) if last else 1.0)
                nn.init.normal_(parameter, 0.0, std, generator=random)
        with torch.no_grad():
            self.token_embd.weight.copy_(embeddings(shape.width, random))

    def forward(self, tokens: Tensor, plan: AttentionPlan, places: Tensor) -> Tensor:
        """Return the normed stream at some places, [B, P, width].

        tokens : [B, T]
        places : [P], of T
        """
        x = self.token_embd(tokens)
        for layer in self.blk:
            x = layer(x, plan)
        normed: Tensor = self.output_norm(x[:, places])
        return normed

    def prices(self, stream: Tensor) -> Tensor:
        """Return the logits of the price above the best worth, [..., PRICE.count], for a stream [..., width]."""
        first = PRICE_FIRST[0] + 1
        return F.linear(stream, self.token_embd.weight[first : first + PRICE.count].to(stream.dtype))

    def answers(self, stream: Tensor) -> Tensor:
        """Return the logits of the answers of every class, [..., K, NUM_ANSWER], for a stream [..., K, width]."""
        first = [WORDS[name].first for name in WORDS if name.startswith("a")]
        weight = torch.stack([self.token_embd.weight[start : start + NUM_ANSWER] for start in first])
        return torch.einsum("...kd,kad->...ka", stream, weight.to(stream.dtype))


def embeddings(width: int, random: torch.Generator) -> Tensor:
    """Return first embeddings, Fourier features of the bin, in which neighbouring bins of a scale are similar."""
    table = 0.02 * torch.randn(NUM_TOKEN, width, generator=random)
    num_feature = 32
    shared: dict[str, Tensor] = {}
    for words in WORDS.values():
        kind = words.name.rstrip("123")
        own = 0.3 * torch.randn(width, generator=random) / math.sqrt(width)
        if kind == "v":
            table[words.first : words.first + words.count] = torch.randn(
                words.count, width, generator=random
            ) / math.sqrt(width)
            continue
        zero = 1 if kind in ("a", "s", "e", "p") else 0
        place = torch.linspace(0.0, 1.0, words.count - zero)
        wave = 2.0 ** torch.linspace(-1.0, 5.0, num_feature)
        phase = math.pi * place[:, None] * wave
        features = torch.cat([phase.cos(), phase.sin()], -1) / math.sqrt(num_feature)
        if kind not in shared:
            decay = torch.cat([wave, wave]) ** -0.5
            mix = torch.randn(2 * num_feature, width, generator=random) / math.sqrt(width)
            shared[kind] = decay[:, None] * mix * 2.0
        begin = words.first
        if zero:
            table[begin] = torch.randn(width, generator=random) / math.sqrt(width) + own
        table[begin + zero : begin + words.count] = features @ shared[kind] + own
    return table
