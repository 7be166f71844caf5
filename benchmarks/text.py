"""The transformer on text: training and sampling, beside a plain GPT in PyTorch.

    python benchmarks/text.py [sizes=small,medium] [rounds=15] [threads=2] [levels=65] [n=1]
        [device=cpu] [record=FILE]

Both models have the same blocks, heads, width and window, learned positions and GELU; both train with
AdamW on random symbols, which does not change the time. Printed are, for each size,

- the training step (loss, gradients, AdamW) in tokens/s. The two models take turns; printed are
  medians, with quartiles over the rounds.
- sampling of n windows with the cache of keys and values, against a whole pass per symbol. Of those
  passes only a few are measured, and their median is multiplied by the number of symbols.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from records import Table, options
from timing import Call, Spread, interleave
from torch import Tensor, nn

from gdl.models.transformer import Transformer

SIZES = {"small": (4, 4, 128, 64, 12), "medium": (6, 6, 384, 256, 12)}
"""Blocks, heads, width, window and batch; "small" is nanoGPT's size for a CPU."""

SLICE = 5
"""Passes that are measured of those that sampling without a cache takes."""


class Block(nn.Module):
    """A block of a plain GPT."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = (
            nn.LayerNorm(width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
        )
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )

    def forward(self, h: Tensor) -> Tensor:
        """Map tokens (B, T, width) to (B, T, width)."""
        b, t, width = h.shape
        split = [
            u.view(b, t, self.heads, -1).transpose(1, 2)
            for u in self.qkv(self.norm(h)).split(width, 2)
        ]
        found = F.scaled_dot_product_attention(*split, is_causal=True)
        h = h + self.out(found.transpose(1, 2).reshape(b, t, width))
        return h + self.mlp(h)


class GPT(nn.Module):
    """A plain GPT with tied embeddings: the implementation that comes to mind first."""

    def __init__(self, levels: int, blocks: int, heads: int, width: int, window: int) -> None:
        super().__init__()
        self.embedding, self.position = nn.Embedding(levels, width), nn.Embedding(window, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.last, self.head = nn.LayerNorm(width), nn.Linear(width, levels, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, T, levels) of the next symbols of x (B, T)."""
        places = torch.arange(x.shape[1], device=x.device)
        h = self.embedding(x) + self.position(places)
        return self.head(self.last(self.blocks(h)))

    def loss(self, x: Tensor) -> Tensor:
        """Return the mean of -log p of the symbols of x (B, T + 1) behind the first, in nats."""
        return F.cross_entropy(self(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())


def training_step(module: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Return a function that takes one step of AdamW."""
    optimizer = torch.optim.AdamW(module.parameters(), 1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        float(value.detach())  # on a GPU, wait for it

    return step


def compare(table: Table, size: str, rounds: int, levels: int, n: int, device: str) -> None:
    """Add the row of one size."""
    blocks, heads, width, window, batch = SIZES[size]
    torch.manual_seed(0)
    model = Transformer(
        (1, 1, window), levels, width=width, blocks=blocks, heads=heads, tokens=True, tied=True
    ).to(device)
    plain = GPT(levels, blocks, heads, width, window).to(device)
    stream = torch.randint(levels, (batch, window + 1), device=device)
    x = stream[:, None, None, 1:].to(torch.uint8)
    calls: dict[str, Call] = {
        "gdl": training_step(model, lambda: model.loss(x)["loss"].mean()),
        "plain": training_step(plain, lambda: plain.loss(stream)),
    }
    own, other = interleave(calls, rounds).values()
    rate = lambda ms: Spread.of(1e3 * batch * window / t for t in ms.values)  # noqa: E731

    model.eval()
    s = model.sequence(x[:1]).expand(n, -1, -1)
    with torch.inference_mode():
        calls = {
            "cached": lambda: model.sample(n),
            "passes": lambda: [model.params(s) for _ in range(SLICE)],
        }
        cached, passes = interleave(calls, max(3, rounds // 5)).values()
    times = Spread.of(t * window / SLICE for t in passes.over(cached).values)
    each = Spread.of(t / window for t in cached.values)
    name = f"{size}: {blocks} x {width}, window {window}, batch {batch}"
    table.add(name, rate(own), rate(other), other.over(own), each, f"{times} (aim 20 at 256)")


def main() -> None:
    """Compare the sizes asked for."""
    chosen = options()
    torch.set_num_threads(int(chosen.get("threads", torch.get_num_threads())))
    rounds, levels, n = (
        int(chosen.get(k, v)) for k, v in (("rounds", 15), ("levels", 65), ("n", 1))
    )
    device = chosen.get("device", "cpu")
    table = Table(
        f"Speed: the transformer on text, {levels} levels, {device}",
        "size",
        "training, tokens/s",
        "plain GPT, tokens/s",
        "times as fast (aim 1)",
        f"sampling {n}, ms per symbol",
        "a pass per symbol: times as long",
    )
    for size in chosen.get("sizes", ",".join(SIZES)).split(","):
        compare(table, size, rounds, levels, n, device)
    table.save()


if __name__ == "__main__":
    main()
