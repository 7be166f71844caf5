"""Autoregressive models: the training step beside the matrix products in it, and sampling.

    python benchmarks/autoregressive.py [models=fvsbn,made,nade,pixelcnn,transformer] [rounds=15]
        [threads=2] [batch=64] [n=64] [record=FILE]

Binary images of 28x28. Printed are, for each model,

- the training step (loss, gradients, Adam), and the matrix products that its passes contain, replayed
  on matrices of the same sizes with nothing in between (see `products.py`): achieved and attainable
  GFLOP/s. The two take turns; printed are medians, with quartiles over the rounds.
- sampling of n images, against a whole pass per pixel. Of those passes only a few are measured, and
  their median multiplied by 784.
- for FVSBN and MADE both once more with one linear layer per pixel, the implementation that comes to
  mind first.
"""

import warnings
from collections import Counter
from collections.abc import Callable

import torch
import torch.nn.functional as F
from products import Products, gflop, replay
from records import Table, options
from timing import Call, Spread, interleave
from torch import Tensor, nn

from gdl.families.autoregressive import AutoregressiveModel
from gdl.models.fvsbn import FVSBN
from gdl.models.made import MADE
from gdl.models.nade import NADE
from gdl.models.pixelcnn import PixelCNN
from gdl.models.transformer import Transformer
from gdl.nn.prefix import PrefixLinear

SHAPE, LEVELS = (1, 28, 28), 2
MODELS: dict[str, tuple[type[AutoregressiveModel], int]] = {  # and how many times faster to sample
    "fvsbn": (FVSBN, 20),
    "made": (MADE, 20),
    "nade": (NADE, 300),
    "pixelcnn": (PixelCNN, 10),
    "transformer": (Transformer, 20),
}
SLICE = 5
"""Passes that are measured of the 784 that sampling without a fast path takes."""


class PerPixel(nn.Module):
    """What a `PrefixLinear` computes, with a linear layer for the outputs of each reach."""

    def __init__(self, layer: PrefixLinear) -> None:
        super().__init__()
        counts = Counter(layer.reach.tolist())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first output sees nothing
            self.layers = nn.ModuleList(nn.Linear(r, n) for r, n in sorted(counts.items()))

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs (B, O) of inputs (B, I)."""
        return torch.cat([f(x[:, : f.in_features]) for f in self.layers], 1)  # pyright: ignore


def per_pixel(model: AutoregressiveModel) -> nn.Module | None:
    """Return the logits' network with one linear layer per pixel, where there is one."""
    layers = [PerPixel(m) for m in model.modules() if isinstance(m, PrefixLinear)]
    separated = [f for layer in layers for f in (layer, nn.ReLU())]
    return nn.Sequential(*separated[:-1]) if layers else None


def training_step(module: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Return a function that takes one step of Adam."""
    optimizer = torch.optim.Adam(module.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def compare(table: Table, name: str, rounds: int, batch: int, n: int) -> None:
    """Add the row of one model."""
    build, goal = MODELS[name]
    torch.manual_seed(0)
    model = build(SHAPE, LEVELS)
    # a fifth of the pixels is white, as in MNIST, which matters to NADE
    x = (torch.rand(batch, *SHAPE) < 0.2).to(torch.uint8)
    model.initialize(x)
    other = per_pixel(model)

    step = training_step(model, lambda: model.loss(x)["loss"].mean())
    step()
    with Products() as products:
        step()
    calls: dict[str, Call] = {"step": step, "products": replay(products.found)}
    if other is not None:
        y = x.flatten(1).float()
        loss = lambda: F.binary_cross_entropy_with_logits(other(y), y, reduction="sum")  # noqa: E731
        calls["other"] = training_step(other, loss)
    ms, bare, *rest = interleave(calls, rounds).values()
    total = gflop(products.found)
    rates = f"{1e3 * total / ms.median:.1f} of {1e3 * total / bare.median:.1f}"
    layers = rest[0].over(ms) if rest else "-"

    model.eval()
    s = model.sequence((torch.rand(n, *SHAPE) < 0.2).to(torch.uint8))
    with torch.inference_mode():
        calls = {
            "fast": lambda: model.sample(n),
            "slice": lambda: [model.params(s) for _ in range(SLICE)],
        }
        if other is not None:
            z = s.squeeze(-1).float()
            calls["other"] = lambda: [other(z) for _ in range(SLICE)]
        fast, *slices = interleave(calls, max(3, rounds // 5)).values()
    # the whole passes are scaled from SLICE to all positions
    times = [
        Spread.of(t * model.num_positions / SLICE for t in one.over(fast).values) for one in slices
    ]
    slow = times[1] if rest else "-"
    table.add(name, ms, bare, ms.over(bare), rates, layers, fast, f"{times[0]} (aim {goal})", slow)


def main() -> None:
    """Compare the models asked for."""
    chosen = options()
    torch.set_num_threads(int(chosen.get("threads", torch.get_num_threads())))
    rounds, batch, n = (
        int(chosen.get(k, v)) for k, v in (("rounds", 15), ("batch", 64), ("n", 64))
    )
    table = Table(
        f"Speed: autoregressive models, binary images of 28x28, batch {batch}",
        "model",
        "training step, ms",
        "its matrix products alone, ms",
        "ratio (aim 1.3)",
        "GFLOP/s",
        "one layer per pixel, training: times as long",
        f"sampling {n}, ms",
        "a pass per pixel: times as long",
        "one layer per pixel, sampling: times as long",
    )
    for name in chosen.get("models", ",".join(MODELS)).split(","):
        compare(table, name, rounds, batch, n)
    table.save()


if __name__ == "__main__":
    main()
