"""The network of PixelCNN++: gated residual blocks at several resolutions, with short-cuts.

Salimans, Karpathy, Chen & Kingma, 2017, "PixelCNN++", arXiv 1701.05517, Sec. 2.3 and 2.4.
"""

from itertools import repeat

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdl.nn.class_bias import ClassBias
from gdl.nn.dropout import Dropout
from gdl.nn.masked import CausalConv, Piece, TwoStreams, columns

__all__ = ["PyramidPixelNet"]


class GatedResBlock(nn.Module):
    """A gated residual block of one stream, with optional inputs from the other and a short-cut.

    Args:
        width: Channels.
        vertical: Whether the block belongs to the vertical stream.
        shortcut: Whether the block has a short-cut as input.
        dropout: Probability that an input of the second convolution is zeroed.
        classes: Number of classes, whose biases are added before the gate.
    """

    def __init__(
        self, width: int, vertical: bool, shortcut: bool, dropout: float, classes: int = 0
    ) -> None:
        super().__init__()
        self.class_bias = ClassBias(classes, 2 * width)
        self.first = CausalConv(2 * width, width, 3, vertical)
        self.shortcut = CausalConv(2 * width, width, 1, vertical) if shortcut else None
        self.dropout = Dropout(dropout)
        self.second = CausalConv(2 * width, 2 * width, 3, vertical)

    def forward(
        self,
        h: Tensor,
        above: Tensor | None,
        shortcut: Tensor | None,
        piece: Piece | None,
        y: Tensor | None = None,
    ) -> Tensor:
        """Return the output (B, width, H, W), or a piece of it.

        Args:
            h: Input (B, width, H, W).
            above: Features (B, width, H, W) of the vertical stream, for a horizontal block.
            shortcut: Features (B, width, H, W) of an earlier block of the same resolution.
            piece: See `CausalConv`.
            y: The class (B,) of each image, see `ClassBias`.
        """
        u = self.first(_concat_elu(h), piece)
        if above is not None:
            u = u + above
        if self.shortcut is not None and shortcut is not None:
            u = u + self.shortcut(_concat_elu(shortcut), piece)
        gates = self.class_bias(self.second(self.dropout(_concat_elu(u)), piece), y)
        a, b = gates.chunk(2, 1)
        return h + a * b.sigmoid()


class Resolution(nn.Module):
    """The blocks of one stream at one resolution, and inside of them the next lower resolution.

    Half of the blocks come before the lower resolution and half after it. The latter get short-cuts
    from the former.

    Args:
        width: Channels.
        blocks: Blocks before, and as many after, the lower resolution.
        resolutions: Number of resolutions, including this one.
        vertical: Whether the blocks belong to the vertical stream.
        dropout: See `GatedResBlock`.
        classes: See `GatedResBlock`.
    """

    def __init__(
        self,
        width: int,
        blocks: int,
        resolutions: int,
        vertical: bool,
        dropout: float,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.before, self.behind = (
            nn.ModuleList(
                GatedResBlock(width, vertical, side, dropout, classes) for _ in range(blocks)
            )
            for side in (False, True)
        )
        self.lower = None
        if resolutions > 1:
            self.down = CausalConv(width, width, 3, vertical, stride=2)
            self.lower = Resolution(width, blocks, resolutions - 1, vertical, dropout, classes)
            self.up = CausalConv(width, 4 * width, 1, vertical)

    def forward(
        self,
        h: Tensor,
        above: list[list[Tensor]] | None = None,
        piece: Piece | None = None,
        y: Tensor | None = None,
    ) -> tuple[Tensor, list[list[Tensor]]]:
        """Return the output, and the output of each block as a list per resolution.

        `above` has the features of the vertical stream in the same order, and y are the classes (B,).
        """
        found: list[Tensor] = []
        given = iter(repeat(None) if above is None else columns(above[0], piece))
        for block in self.before:
            h = block(h, next(given), None, piece, y)
            found.append(h)
        shortcuts, below = found.copy(), []
        if self.lower is not None:
            low, below = self._through_lower(h, above, piece, y)
            h = h + low
        for block in self.behind:
            h = block(h, next(given), shortcuts.pop(), piece, y)
            found.append(h)
        return h, [found, *below]

    def _through_lower(
        self,
        h: Tensor,
        above: list[list[Tensor]] | None,
        piece: Piece | None,
        y: Tensor | None,
    ) -> tuple[Tensor, list[list[Tensor]]]:
        assert self.lower is not None
        lower_above = None if above is None else above[1:]
        low, below = self.down(h, piece), []
        if piece is None:
            low, below = self.lower(low, lower_above, None, y)
            return F.pixel_shuffle(self.up(low), 2)[..., : h.shape[-2], : h.shape[-1]], below
        # a piece of the lower resolution becomes 2x2 pieces here: compute it once and keep it
        half, row, column = piece.half(), piece.row % 2, (piece.column or 0) % 2
        key = (self, half.column)
        if not row and not column:
            if piece.column is None:
                low = low[..., ::2]
            low, below = self.lower(low, lower_above, half, y)
            piece.memory[key] = F.pixel_shuffle(self.up(low, half), 2)
        width = h.shape[-1]
        return piece.memory[key][..., row : row + 1, column : column + width], below


class PyramidPixelNet(TwoStreams):
    """The vertical and the horizontal stream of PixelCNN++.

    Args:
        in_channels: Channels of the image.
        size: (H, W) of the image.
        width: Channels of each stream, and of the features.
        blocks: Gated residual blocks per stream and resolution on the way down, and as many on the
            way up.
        resolutions: Number of resolutions; each has half the height and width of the one before.
        dropout: See `GatedResBlock`.
        classes: See `GatedResBlock`.

    Note:
        A convolution of the horizontal stream sees its own row only, and rows above through the
        vertical stream; in the paper it also sees the row above. Weights are not normalised, because
        at the start a block adds little to its input.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        width: int,
        blocks: int,
        resolutions: int,
        dropout: float,
        classes: int = 0,
    ) -> None:
        super().__init__(in_channels, width, size)
        self.first_down = CausalConv(in_channels + 1, width, 3, vertical=True)
        self.first_right = CausalConv(in_channels + 1, width, 3, vertical=False)
        self.down = Resolution(width, blocks, resolutions, True, dropout, classes)
        self.right = Resolution(width, blocks, resolutions, False, dropout, classes)
        self.across = nn.ModuleList(
            nn.Conv2d(2 * width, width, 1) for _ in range(2 * blocks * resolutions)
        )

    def vertical(
        self, x: Tensor, piece: Piece | None = None, y: Tensor | None = None
    ) -> list[list[Tensor]]:
        """See `TwoStreams.vertical`."""
        _, found = self.down(self.first_down(x, piece), None, piece, y)
        across = iter(self.across)
        return [[next(across)(_concat_elu(h)) for h in hs] for hs in found]

    def horizontal(
        self,
        x: Tensor,
        above: list[list[Tensor]],
        piece: Piece | None = None,
        y: Tensor | None = None,
    ) -> Tensor:
        """See `TwoStreams.horizontal`."""
        return F.elu(self.right(self.first_right(x, piece), above, piece, y)[0])


def _concat_elu(h: Tensor) -> Tensor:
    return F.elu(torch.cat([h, -h], 1))
