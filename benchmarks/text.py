"""The transformer on text: training and sampling, beside a plain GPT in PyTorch.

    python benchmarks/text.py [sizes=small,longer,medium] [rounds=8] [threads=1,2] [n=1] [device=cpu]
        [record=FILE]

Both models have the same blocks, heads, width and window, learned positions, GELU and tied embeddings.
Printed are, for each size and number of threads,

- training in tokens/s. gdl runs as `train.py` does, with data module, trainer, callbacks and CSV logs;
  the plain GPT has the loop that comes to mind first, on the same text: random windows, cross entropy,
  clipped gradients, AdamW. They take turns of some steps, in one process; printed are medians, with
  quartiles over the rounds.
- sampling of n windows with the cache of keys and values, against a whole pass per symbol. Of those
  passes only a few are measured, and their mean is multiplied by the number of symbols.
"""

import multiprocessing
import sys
import tempfile
import time

import hydra
import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig
from records import Table, options
from timing import Call, Spread, interleave
from torch import Tensor, nn

from gdl.commands.conf import CONF, register_resolvers
from gdl.data.text import Text
from gdl.models.transformer import Transformer
from gdl.training import run as training

SIZES = {
    "small": (4, 4, 128, 64, 12),
    "longer": (4, 4, 128, 256, 12),
    "medium": (6, 6, 384, 256, 12),
}
"""Blocks, heads, width, window and batch; "small" is nanoGPT's size for a CPU."""

STEPS = {"small": 40, "longer": 10, "medium": 1}
"""Training steps in a turn."""

SLICE = 5
"""Passes that are measured of those that sampling without a cache takes."""

CLIP = 1.0
"""Largest norm of the gradients, in both loops."""


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


class PlainLoop:
    """The training of the plain GPT on a text (T,)."""

    def __init__(self, model: GPT, text: Tensor, batch: int, window: int) -> None:
        self.model, self.text, self.batch, self.window = model, text.long(), batch, window
        self.optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)

    def step(self) -> None:
        """Take one step."""
        starts = torch.randint(len(self.text) - self.window, (self.batch,)).tolist()
        x = torch.stack([self.text[i : i + self.window + 1] for i in starts])
        self.optimizer.zero_grad()
        self.model.loss(x).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()


class Turns(Callback):
    """Before each of gdl's epochs, run and time as many steps of the plain loop."""

    def __init__(self, loop: PlainLoop, steps: int) -> None:
        self.loop, self.steps = loop, steps
        self.plain: list[float] = []
        self.gdl: list[float] = []
        self.start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the plain steps, then start the clock of gdl's."""
        start = now(self.loop.text)
        for _ in range(self.steps):
            self.loop.step()
        self.start = now(self.loop.text)
        self.plain.append(self.start - start)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock: the plain loop does not validate either."""
        self.gdl.append(now(self.loop.text) - self.start)


def now(like: Tensor) -> float:
    """Return the time in seconds at which the device of a tensor has done all that was asked."""
    if like.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


def train(size: str, rounds: int, device: str) -> tuple[Spread, Spread]:
    """Return the tokens/s of gdl and of the plain loop in each round."""
    blocks, heads, width, window, batch = SIZES[size]
    steps, found = STEPS[size], []
    overrides = ["data=text", "data.corpus=pydoc", "data.alphabet=characters", "logger=csv"]
    overrides += ["model=transformer", "model.tokens=true", "model.tied=true"]
    overrides += [f"model.blocks={blocks}", f"model.heads={heads}", f"model.width={width}"]
    overrides += [f"data.length={window}", f"data.batch_size={batch}", "data.eval_batch_size=1"]
    overrides += [f"trainer={'gpu' if device == 'cuda' else device}"]
    overrides += [f"trainer.max_epochs={rounds + 1}", f"trainer.limit_train_batches={steps}"]
    overrides += ["trainer.limit_val_batches=1", f"trainer.gradient_clip_val={CLIP}"]
    # what is written between the epochs is not timed, and would take long
    overrides += [f"callbacks.{name}=null" for name in ("checkpoint", "last", "images")]
    register_resolvers()
    with tempfile.TemporaryDirectory() as folder:

        @hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
        def run(cfg: DictConfig) -> None:
            job = training.prepare(cfg)
            assert isinstance(job.data, Text)
            assert job.data.levels is not None
            text = job.data.stream("train").to(device)
            plain = GPT(job.data.levels, blocks, heads, width, window).to(device)
            turns = Turns(PlainLoop(plain, text, batch, window), steps)
            job.trainer.callbacks.append(turns)  # pyright: ignore[reportAttributeAccessIssue]
            training.fit(job)
            tokens = steps * batch * window
            # the first turn of each is a warm-up
            found.extend(
                Spread.of(tokens / t for t in each[1:]) for each in (turns.gdl, turns.plain)
            )

        sys.argv = ["text.py", *overrides, f"hydra.run.dir={folder}"]
        run()
    own, other = found
    return own, other


def draw(size: str, rounds: int, n: int, device: str) -> tuple[Spread, Spread]:
    """Return the milliseconds per symbol with the cache, and how many times as long a pass takes."""
    blocks, heads, width, window, _ = SIZES[size]
    torch.manual_seed(0)
    model = Transformer(
        (1, 1, window), 65, width=width, blocks=blocks, heads=heads, tokens=True, tied=True
    )
    model = model.to(device).eval()
    s = torch.randint(65, (n, window, 1), dtype=torch.uint8, device=device)
    with torch.inference_mode():
        calls: dict[str, Call] = {
            "cached": lambda: model.sample(n).cpu(),
            "passes": lambda: [model.params(s).cpu() for _ in range(SLICE)],
        }
        cached, passes = interleave(calls, rounds).values()
    times = Spread.of(t * window / SLICE for t in passes.over(cached).values)
    return Spread.of(t / window for t in cached.values), times


def compare(
    size: str, threads: int, rounds: int, n: int, device: str
) -> tuple[Spread, Spread, Spread, Spread]:
    """Return the results of `train` and `draw`."""
    torch.set_num_threads(threads)
    return *train(size, rounds, device), *draw(size, max(3, rounds // 2), n, device)


def main() -> None:
    """Compare the sizes asked for, each in a process of its own."""
    chosen = options()
    rounds, n, device = (
        int(chosen.get("rounds", 8)),
        int(chosen.get("n", 1)),
        chosen.get("device", "cpu"),
    )
    table = Table(
        f"Speed: the transformer on text, beside a plain GPT, {device}",
        "threads",
        "size",
        "train.py, tokens/s",
        "plain loop, tokens/s",
        "times as fast (aim 1)",
        f"sampling {n}, ms per symbol",
        "a pass per symbol: times as long",
    )
    for threads in map(int, chosen.get("threads", "1,2").split(",")):
        for size in chosen.get("sizes", ",".join(SIZES)).split(","):
            with multiprocessing.get_context("spawn").Pool(1) as process:
                found = process.apply(compare, (size, threads, rounds, n, device))
            own, other, each, times = found
            blocks, _, width, window, batch = SIZES[size]
            name = f"{size}: {blocks} x {width}, window {window}, batch {batch}"
            aim = " (aim 20)" if window == 256 else ""
            table.add(threads, name, own, other, own.over(other), each, f"{times}{aim}")
    table.save()


if __name__ == "__main__":
    main()
