"""NADE: Larochelle & Murray, 2011, "The neural autoregressive distribution estimator".

AISTATS. See also Uria et al., 2016, "Neural autoregressive distribution estimation", arXiv 1605.02226.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.distributions import Likelihood, default_conditional
from gdl.families.ancestral import Block, PositionSteps
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.sequences import are_symbols
from gdl.kernels.cpu import by_hand
from gdl.nn.class_bias import ClassBias
from gdl.nn.tied import prefix_outputs

__all__ = ["NADE"]


class NADE(AutoregressiveModel):
    """One hidden layer per position, with tied weights: h_i = sigmoid(c + W x_<i), logit V_i h_i + b_i.

    The input of h_{i+1} is the input of h_i plus one column of W times x_i, so density and sampling
    cost O(N H) (Larochelle & Murray, Algorithm 1).

    Args:
        shape: (C, H, W) of an image.
        levels: Number of values of a pixel.
        likelihood: See `AutoregressiveModel`.
        order: See `AutoregressiveModel`.
        hidden: Width H of the hidden layer.
        num_classes: See `GenerativeModel`.
        label_dropout: See `GenerativeModel`.
        ends: See `AutoregressiveModel`.
        tokens: Whether values are symbols, each of which has a column of W; see `are_symbols`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        likelihood: Callable[..., Likelihood] = default_conditional,
        order: str = "raster",
        hidden: int = 500,
        num_classes: int = 0,
        label_dropout: float = 0.0,
        ends: Sequence[int] | None = None,
        tokens: bool | None = False,
    ) -> None:
        super().__init__(shape, levels, likelihood, order, num_classes, label_dropout, ends)
        self._arguments["tokens"] = self.tokens = are_symbols(tokens, shape, levels)
        n, p = self.bias.shape
        # positions in a chunk, see `prefix_outputs`: a hidden layer is multiplied with the V of its
        # whole chunk but needs only part of the result, so chunks are short where V is large
        self.chunk = 16 if p == 1 else 4
        size = (n, levels, hidden) if self.tokens else (n, hidden)
        self.weight = nn.Parameter(torch.empty(*size).uniform_(-1, 1) * n**-0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.class_hidden = ClassBias(self.label_rows, hidden)
        self.output = nn.Parameter(torch.empty(n, p, hidden).uniform_(-1, 1) * hidden**-0.5)

    def params(self, s: Tensor, y: Tensor | None = None) -> Tensor:
        """See `AutoregressiveModel.params`."""
        # float32, because the sums have a term for each position
        with torch.autocast(s.device.type, enabled=False):
            shift = self.class_hidden.of(y)
            bias = self.hidden_bias if shift is None else self.hidden_bias + shift
            if self.tokens:
                # shifted: a sum minus its last term would depend on it by rounding
                before = F.pad(self._columns(s)[:, :-1].cumsum(1), (0, 0, 1, 0))
                h = (before + bias.view(-1, 1, before.shape[2])).sigmoid()
                return torch.einsum("bnh,nph->bnp", h, self.output) + self.biases(y)
            x = self.unit(s).squeeze(-1).T.contiguous()
            out = prefix_outputs(x, self.weight, bias, self.output, self.chunk)
            return out.transpose(0, 1) + self.biases(y)

    def _columns(self, s: Tensor) -> Tensor:
        """Return what each symbol of sequences (B, N, 1) adds to later hidden layers, (B, N, H)."""
        n, levels, hidden = self.weight.shape
        rows = s.squeeze(-1).long() + levels * torch.arange(n, device=s.device)
        return F.embedding(rows, self.weight.view(-1, hidden))

    def features(self, x: Tensor) -> Tensor:
        """Return the hidden layer (B, H) that has seen all pixels, sigmoid(c + W x)."""
        s = self.sequence(x)
        seen = self._columns(s).sum(1) if self.tokens else self.unit(s).squeeze(-1) @ self.weight
        total = self.hidden_bias + seen
        return self.class_hidden(total, self.rows_without_label(x)).sigmoid()

    def steps(self, n: int, y: Tensor | None = None) -> PositionSteps:
        """See `AutoregressiveModel.steps`; each step adds one column of W.

        On a CPU only the hidden layers that changed, i.e. whose last value is not zero, are computed
        again. On other devices the host would have to wait for their number.
        """
        total = self.class_hidden(self.hidden_bias.repeat(n, 1), y)
        h, count, binary = total.sigmoid(), by_hand(total), self.levels == 2
        biases = self.biases(y)
        biases = biases if biases.dim() == 2 else biases.transpose(0, 1)
        parts = zip(self.weight, self.output.mT, biases, strict=True)
        for i, (weight, output, bias) in enumerate(parts):
            value = (yield Block(i, torch.addmm(bias, h, output)[:, None])).view(-1)
            if self.tokens:
                total = total + weight[value.long()]
                torch.sigmoid(total, out=h)
            elif not count:
                torch.sigmoid(total.addr_(self.unit(value), weight), out=h)
            elif len(rows := value.nonzero().view(-1)):
                new = total.index_select(0, rows)
                # in binary images the value is 1, which takes one operation instead of three
                new += weight if binary else self.unit(value[rows])[:, None] * weight
                total.index_copy_(0, rows, new)
                h.index_copy_(0, rows, new.sigmoid_())
