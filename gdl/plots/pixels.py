"""Values of images as the bytes of a picture."""

import torch
from torch import Tensor

__all__ = ["to_pixels"]


def to_pixels(x: Tensor, levels: int | None) -> Tensor:
    """Map images (N, C, H, W) in [0, levels - 1] to uint8 RGB (N, 3, H, W): 0 is black, the top white.

    Of two channels the picture shows red and green, of more than three the first three. Without
    levels they are densities (N, 1, H, W) in [0, 1] and are shown in colours.
    """
    x = x.detach().cpu().float()
    if levels is None:
        from matplotlib import colormaps  # half a second to import

        rgba = torch.from_numpy(colormaps["magma"](x.squeeze(1).numpy(), bytes=True))
        return rgba[..., :3].movedim(-1, 1)
    y = (x / (levels - 1) * 255).round().clamp(0, 255).to(torch.uint8)
    if y.shape[1] == 1:
        return y.expand(-1, 3, -1, -1)
    return torch.cat([y, torch.zeros_like(y[:, :1])], 1)[:, :3]
