"""The linear layer of all networks: torch's, multiplied as `gdl.kernels.products` says."""

from torch import Tensor, nn

from gdl.kernels.products import linear

__all__ = ["Linear"]


class Linear(nn.Linear):
    """`torch.nn.Linear`, which see; on a CPU its products may be another library's."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (..., out_features)."""
        return linear(input, self.weight, self.bias)
