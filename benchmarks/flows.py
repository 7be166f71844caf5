"""Flows in gdl against the same flows in normflows, nflows, zuko and FrEIA, side by side.

    pip install -e '.[benchmarks]'
    python benchmarks/flows.py [rows=glow32,glow4,wide,nice,plane] [rounds=20] [threads=2] \
        [compile=false|true|both] [only=gdl,FrEIA,...]
    python benchmarks/flows.py device=cuda rows=paper compile=both [precision=bf16] [calls=train]

All candidates of a row have the same data, batch, dtype and optimizer, and trained parameters
within 1%, and take turns, so that noise of the machine hits all of them alike. Printed are medians
in milliseconds, how many times as long the fastest peer takes as gdl, and what the matrix products in
gdl's call take alone (`products.py`), which bounds what any implementation could reach. See
`peers.py` for the constructions. With compile=both each candidate is there twice, its compiled form
marked with *; a call that torch.compile cannot handle is left out and reported. On a GPU, matrix
products are in TF32, and with precision=bf16 everything runs under torch.autocast.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import peers
from products import Products, replay
from timing import Call, interleave


def rows() -> dict[str, tuple[str, dict[str, Callable[[], peers.Candidate]], Tensor]]:
    """Return, by name, a description, the builders and the batch of each row."""
    torch.manual_seed(0)
    image = torch.rand(64, 3, 32, 32) - 0.5
    batch = torch.rand(256, 3, 32, 32) - 0.5
    vectors, points = torch.rand(64, 784), torch.randn(512, 2)
    return {
        "glow32": ("Glow 3x32x32, K=32 L=3 width 64, batch 2", peers.glow(image, 32, 64), image[:2]),
        "glow4": ("Glow 3x32x32, K=4 L=3 width 64, batch 8", peers.glow(image, 4, 64), image[:8]),
        "paper": ("Glow 3x32x32, K=32 L=3 width 512, batch 256", peers.glow(image, 32, 512), batch),
        "wide": ("Glow 3x32x32, K=2 L=3 width 512, batch 4", peers.glow(image, 2, 512), image[:4]),
        "nice": ("NICE-784, 4 x [1000]*5, batch 64", peers.nice(vectors, [1000] * 5), vectors),
        "plane": ("Real NVP 2-D, 8 x [64, 64], batch 512", peers.plane(points, 8, [64, 64]), points),
    }  # fmt: skip


CALLS = "train,log_prob,sample(64),sample(1)"


def calls(candidate: peers.Candidate, x: Tensor, precision: torch.dtype) -> dict[str, Call]:
    """Return what is timed: a training step, log_prob, and sampling."""
    device = x.device.type
    mixed = torch.autocast(device, precision, precision != torch.float32)
    optimizer = torch.optim.Adamax(candidate.module.parameters(), 1e-4, foreach=True)
    log_prob, sample = candidate.log_prob, candidate.sample

    def train() -> None:
        optimizer.zero_grad()
        with mixed:
            loss = -log_prob(x).mean()
        loss.backward()
        optimizer.step()

    def finished(call: Call) -> Call:
        if device == "cpu":
            return call
        return lambda: (call(), torch.cuda.synchronize())

    def without_gradients(call: Call) -> Call:
        return torch.no_grad()(mixed(call))

    found: dict[str, Call] = {
        "train": train,
        "log_prob": without_gradients(lambda: log_prob(x)),
        "sample(64)": without_gradients(lambda: sample(64)),
        "sample(1)": without_gradients(lambda: sample(1)),
    }
    return {what: finished(call) for what, call in found.items()}


def compare(
    title: str,
    builders: dict[str, Callable[[], peers.Candidate]],
    x: Tensor,
    options: dict[str, str],
) -> None:
    """Print the table of one row."""
    compiling, device = options.get("compile", "false"), options.get("device", "cpu")
    candidates = {name: build() for name, build in builders.items() if compiling != "true"}
    if compiling != "false":
        candidates |= {f"{name}*": build().compiled() for name, build in builders.items()}
    sizes = {name: c.num_params for name, c in candidates.items()}
    print(f"\n{title}; parameters {sizes}")
    for name, size in sizes.items():
        assert abs(size / next(iter(sizes.values())) - 1) < 0.01, f"{name} has {size} parameters"
    for c in candidates.values():
        c.module.to(device)
    precision = {"bf16": torch.bfloat16}.get(options.get("precision", ""), torch.float32)
    timed = {name: calls(c, x.to(device), precision) for name, c in candidates.items()}
    names = [*candidates, "products"] if device == "cpu" else [*candidates]
    print(f"{'ms':>12}" + "".join(f"{name:>11}" for name in names) + "   fastest peer / gdl")
    for what in options.get("calls", CALLS).split(","):
        # sampling comes last, so that training's updates are over
        for c in candidates.values():
            c.module.train(what == "train")
        usable = {name: t[what] for name, t in timed.items() if _works(name, t[what])}
        if "gdl" in usable and "products" in names:
            with Products() as products:
                usable["gdl"]()
            usable["products"] = replay(products.found)
        found = interleave(usable, int(options.get("rounds", 20)))
        theirs = [v for k, v in found.items() if not k.startswith(("gdl", "products"))]
        best = min(theirs, default=math.nan)
        ours = min((v for k, v in found.items() if k.startswith("gdl")), default=math.nan)
        cells = "".join(f"{found.get(name, math.nan):11.2f}" for name in names)
        print(f"{what:>12}{cells}   {best / ours:.2f}", flush=True)


def _works(name: str, call: Call) -> bool:
    """Return whether a call does; one that is compiled may not."""
    try:
        call()
    except Exception as error:
        if not name.endswith("*"):
            raise
        print(f"{name} cannot be compiled: {type(error).__name__}")
        return False
    return True


def main() -> None:
    """Run the rows asked for."""
    options = dict(arg.split("=") for arg in sys.argv[1:])
    torch.set_num_threads(int(options.get("threads", torch.get_num_threads())))
    table = rows()
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, as train.py has it
    for_cpus = [name for name in table if name != "paper"]
    for name in options.get("rows", ",".join(for_cpus)).split(","):
        title, builders, x = table[name]
        only = options.get("only", ",".join(builders)).split(",")
        builders = {peer: build for peer, build in builders.items() if peer in only}
        compare(title, builders, x, options)


if __name__ == "__main__":
    main()
