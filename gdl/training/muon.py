"""Muon for the matrices between hidden layers, AdamW for all other parameters, as one optimizer."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from gdl.errors import GdlError

__all__ = ["Muon"]


class Muon(Optimizer):
    """Two optimizers with one learning rate.

    Muon (Jordan et al., 2024, "Muon: an optimizer for hidden layers in neural networks") follows the
    orthogonal factor of the averaged gradient of a matrix, by PyTorch's own implementation. Its steps
    are scaled to be as large as those of AdamW (Liu et al., 2025, "Muon is scalable for LLM training",
    arXiv 2502.16982, Eq. 4), so both share one rate. Embeddings, the output, biases and scales have
    AdamW.

    Args:
        params: Parameters or groups of them, as of any optimizer.
        lr: Learning rate.
        hidden: Those of the parameters that Muon updates; see `Optimization.hidden_matrices`.
        momentum: Of Muon.
        betas: Of AdamW.
        eps: Of AdamW.
        weight_decay: Of both; per step a matrix shrinks by lr times this.
        fused: Whether AdamW updates all its parameters in one operation.

    Raises:
        GdlError: There are no hidden matrices.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        hidden: Iterable[nn.Parameter] = (),
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        fused: bool = True,
    ) -> None:
        matrices = {*hidden}
        if not matrices:
            raise GdlError(
                "optimizer=muon is for models that name the matrices between their hidden layers, as "
                "model=transformer: use optimizer=adamw."
            )
        groups = [g if isinstance(g, dict) else {"params": [g]} for g in params]
        chosen = [_part(g, lambda p: p in matrices) for g in groups]
        others = [_part(g, lambda p: p not in matrices) for g in groups]
        first = torch.optim.Muon(
            [g for g in chosen if g["params"]],
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            adjust_lr_fn="match_rms_adamw",
        )
        second = AdamW(
            [g for g in others if g["params"]],
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            fused=fused,
        )
        super().__init__([*first.param_groups, *second.param_groups], {"lr": lr})
        self._parts = (first, second)
        self._share()

    def _share(self) -> None:
        """Let both work on the groups and states of this optimizer."""
        # so schedules, clipping and checkpoints see one optimizer
        size = len(self._parts[0].param_groups)
        for part, groups in zip(
            self._parts, (self.param_groups[:size], self.param_groups[size:]), strict=True
        ):
            part.param_groups, part.state = groups, self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `torch.optim.Optimizer.load_state_dict`."""
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # pyright: ignore
        """Update all parameters that have gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss


def _part(group: dict[str, Any], keep: Callable[[nn.Parameter], bool]) -> dict[str, Any]:
    return {**group, "params": [p for p in group["params"] if keep(p)]}
