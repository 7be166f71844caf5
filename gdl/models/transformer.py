"""Transformer: Chen et al., 2020, "Generative pretraining from pixels".

ICML (iGPT). A causal transformer over the pixels of an image, or over the symbols of a text; see also
Vaswani et al., 2017, "Attention is all you need", arXiv 1706.03762, and Radford et al., 2019, "Language
models are unsupervised multitask learners" (GPT-2).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gdl.distributions import Categorical, Likelihood, default_conditional
from gdl.errors import GdlError
from gdl.families.ancestral import Block, PositionSteps, block_size, num_final
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.sequences import are_symbols
from gdl.kernels.products import linear, row_product
from gdl.nn.class_bias import ClassBias
from gdl.nn.linear import Linear
from gdl.nn.token_by_token import TokenByToken
from gdl.nn.transformer import ImageTransformer, neighbours

__all__ = ["Transformer"]

CHOICES = {"positions": ("learned", "rotary"), "mlp": ("gelu", "swiglu")}


class Transformer(AutoregressiveModel):
    """A causal transformer with one token per channel and pixel, which attends to all earlier tokens.

    Sampling caches their keys and values. For texts longer than the window see `gdl.families.windows`.

    With `tokens` the values are symbols without an order, as those of text: each has an embedding, from
    which the token of the next position starts, in the place of a small window of numbers. The weights
    start as in GPT-2, matrices alone decay, all positions share the output's `bias`, and the default
    likelihood is `Categorical`.

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values of a pixel.
        likelihood: See `AutoregressiveModel`.
        order: See `AutoregressiveModel`.
        width: Features of a token.
        blocks: Number of blocks of attention and MLP.
        heads: Attention heads.
        window: Odd side of the square around a pixel whose earlier values its token starts from. A
            token always starts from the value before it. With `tokens` it has no meaning.
        dropout: Probability that an output of attention or MLP is dropped, with `tokens` also an input.
        num_classes: See `GenerativeModel`.
        label_dropout: See `GenerativeModel`.
        tokens: Whether values are symbols; see `are_symbols`.
        positions: "learned", a vector for each, or "rotary" (Su et al., 2021, arXiv 2104.09864).
        mlp: "gelu" or "swiglu" (Shazeer, 2020, arXiv 2002.05202), which have as many weights.
        tied: Whether the output uses the embeddings as its weights, with `tokens` and `Categorical`.
        ends: See `AutoregressiveModel`.

    Raises:
        GdlError: The image has more than MAX_TOKENS values, the heads do not divide the width, the
            window is even, or options do not fit each other.
    """

    MAX_TOKENS = 4096

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        likelihood: Callable[..., Likelihood] = default_conditional,
        order: str = "raster",
        width: int = 64,
        blocks: int = 3,
        heads: int = 4,
        window: int = 5,
        dropout: float = 0.0,
        num_classes: int = 0,
        label_dropout: float = 0.0,
        tokens: bool | None = False,
        positions: str = "learned",
        mlp: str = "gelu",
        tied: bool = False,
        ends: Sequence[int] | None = None,
    ) -> None:
        tokens = are_symbols(tokens, shape, levels)
        if tokens and getattr(likelihood, "func", likelihood) is default_conditional:
            likelihood = Categorical
        super().__init__(shape, levels, likelihood, order, num_classes, label_dropout, ends)
        self._arguments["tokens"] = self.tokens = (
            tokens  # as chosen, also for images of another shape
        )
        self.tied = tied
        self._check(width, heads, window, {"positions": positions, "mlp": mlp})
        channels, height, image_width = self.shape
        near = neighbours(self.order, channels, (height, image_width), window)
        options = (self.label_rows, levels if tokens else 0, positions, mlp)
        self.net = ImageTransformer(near, width, blocks, heads, dropout, *options)
        num_params = self.likelihood.num_params
        if not tied:
            self.head = Linear(width, num_params)
        if tokens:
            # a text may begin anywhere, so its frequencies do not depend on the position
            self.bias = nn.Parameter(torch.zeros(1, num_params))
            self.class_bias = ClassBias(self.label_rows, 1, num_params)
        if tokens and not tied:
            nn.init.normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

    def _check(self, width: int, heads: int, window: int, chosen: dict[str, str]) -> None:
        if self.num_positions > self.MAX_TOKENS:
            raise GdlError(
                f"Transformer attends to every value of an image, here {self.num_positions:,}, and "
                f"takes up to {self.MAX_TOKENS:,}: use smaller images or model=pixelcnn."
            )
        if width % heads:
            raise GdlError(
                f"model.heads={heads} do not divide model.width={width}: use model.heads=1."
            )
        if window % 2 == 0:
            raise GdlError(f"model.window must be odd, got {window}: use {window + 1}.")
        for name, value in chosen.items():
            if value not in CHOICES[name]:
                raise GdlError(
                    f"model.{name} must be {' or '.join(CHOICES[name])}, got {value!r}."
                )
        if chosen["positions"] == "rotary" and width // heads % 2:
            raise GdlError(
                f"model.positions=rotary turns pairs of features, but a head has {width // heads}: "
                f"use model.width={width + heads}."
            )
        if self.tied and not (self.tokens and isinstance(self.likelihood, Categorical)):
            raise GdlError(
                "model.tied=true uses the embeddings of the values as weights of their logits: set "
                "model.tokens=true and likelihood=categorical too."
            )

    def params(self, s: Tensor, y: Tensor | None = None) -> Tensor:
        """See `AutoregressiveModel.params`."""
        return self._outputs(self.net(self._inputs(s), y)) + self.biases(y)

    def _inputs(self, s: Tensor) -> Tensor:
        """Return what the network takes (B, N) for sequences (B, N, 1): symbols or scaled numbers."""
        return (s if self.tokens else self.scale(s)).squeeze(-1)

    def _outputs(self, h: Tensor) -> Tensor:
        """Return the parameters (B, T, P) of features (B, T, width), without `bias`."""
        return linear(h, self.net.embedding.weight[: self.levels]) if self.tied else self.head(h)

    def initialize(self, x: Tensor) -> None:
        """See `AutoregressiveModel.initialize`; with `tokens`, by the frequencies at all positions."""
        if not self.tokens:
            super().initialize(x)
            return
        x = x.to(self.device)
        s = self.sequence(x)[self.in_target(x)].view(-1, 1, 1, 1)
        self.bias.data.copy_(self.likelihood.initial_params(s).view(1, -1))

    def parameter_groups(self) -> Any:
        """Return all parameters, or with `tokens` matrices, and others whose weights do not decay."""
        if not self.tokens:
            return self.parameters()
        layers = [m for m in self.modules() if isinstance(m, nn.Linear | nn.Embedding)]
        matrices = {m.weight: None for m in layers}
        others = [p for p in self.parameters() if p not in matrices]
        return [{"params": [*matrices]}, {"params": others, "weight_decay": 0.0}]

    def hidden_matrices(self) -> list[nn.Parameter]:
        """Return the matrices of attention and MLP of all blocks."""
        return [
            m.get_parameter("weight")
            for m in self.net.blocks.modules()
            if isinstance(m, nn.Linear)
        ]

    def features(self, x: Tensor) -> Tensor:
        """Return the last block (B, width), its mean over the tokens."""
        return self.net(self._inputs(self.sequence(x)), self.rows_without_label(x)).mean(1)

    def steps(self, n: int, y: Tensor | None = None) -> PositionSteps:
        """See `AutoregressiveModel.steps`."""
        nothing = torch.zeros(n, 0, 1, dtype=torch.uint8, device=self.device)
        return self.steps_after(nothing, y)

    def steps_after(self, prefix: Tensor, y: Tensor | None = None) -> PositionSteps:
        """See `AutoregressiveModel.steps_after`; one pass gives the keys and values of the prefix."""
        n, start, _ = prefix.shape
        caches = self.net.caches(n, y)
        s = torch.zeros(n, self.num_positions, 1, dtype=torch.uint8, device=self.device)
        s[:, :start] = prefix
        x = self.net.padded(self._inputs(s))
        if start:
            self.net.block(x, slice(0, start), caches, y)
        if self.tokens and not self.training:
            # the next symbols of a text are hardly ever guessed rightly
            yield from self._one_by_one(x[:, start : start + 1], start, caches, y)
            return
        biases, size = self.biases(y), block_size(4, n, self.device)
        while start < self.num_positions:
            block = slice(start, min(start + size, self.num_positions))
            bias = biases if self.tokens else biases[..., block, :]
            h = self.net.block(x, block, caches, y)
            values = yield Block(start, self._outputs(h) + bias)
            final = num_final(values, s[:, block])
            s[:, block] = values
            self.net.put(x, block, self._inputs(values))
            start += final
            size = block_size(final, n, self.device)

    def _one_by_one(
        self, before: Tensor, start: int, caches: TokenByToken, y: Tensor | None
    ) -> PositionSteps:
        """Yield one position after the other from `start` on, before which stand the symbols (n, 1)."""
        embedding, position = self.net.embedding.weight, self.net.position
        head = embedding[: self.levels] if self.tied else self.head.weight
        bias = self.biases(y)[..., 0, :] + (0 if self.tied else self.head.bias)
        output = row_product(head, None, len(before))
        for i in range(start, self.num_positions):
            h = torch.embedding(embedding, before.squeeze(1).int())
            h = h if position is None else h + position[i]
            values = yield Block(i, (output(caches.step(h, i)) + bias).unsqueeze(1))
            before = values.squeeze(-1)
