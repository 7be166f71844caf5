"""Flows in gdl against the same flows in normflows, nflows, zuko and FrEIA, side by side.

    pip install -e '.[benchmarks]'
    python benchmarks/flows.py [rows=glow32,glow4,wide,nice,plane] [rounds=20] [threads=2] \
        [compile=false|true|both] [only=gdl,FrEIA,...] [record=FILE]
    python benchmarks/flows.py device=cuda rows=paper compile=both [precision=bf16] [calls=train]

All candidates of a row have the same data, batch, dtype and optimizer, and trained parameters
within 1%, and take turns, so that noise of the machine hits all of them alike. Printed are
milliseconds, median and quartiles over the rounds, how many times as long the fastest peer takes as
gdl in the same round, and what the matrix products in gdl's call take alone (`products.py`), which
bounds what any implementation could reach. See `peers.py` for the constructions. With compile=both
each candidate is there twice, its compiled form marked with *; a call that torch.compile cannot handle
is left out and reported. On a GPU, matrix products are in TF32, and with precision=bf16 everything
runs under torch.autocast.
"""

from collections.abc import Callable

import peers
import torch
from products import Products, replay
from records import Table, options
from timing import Call, interleave
from torch import Tensor


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
    table: Table,
    title: str,
    builders: dict[str, Callable[[], peers.Candidate]],
    x: Tensor,
    chosen: dict[str, str],
) -> None:
    """Add the rows of one flow to the table."""
    device = chosen.get("device", "cpu")
    candidates = {name: builders[name]() for name in builders if name[-1] != "*"}
    candidates |= {name: builders[name]().compiled() for name in builders if name[-1] == "*"}
    sizes = {name: c.num_params for name, c in candidates.items()}
    for name, size in sizes.items():
        assert abs(size / next(iter(sizes.values())) - 1) < 0.01, f"{name} has {size} parameters"
    for c in candidates.values():
        c.module.to(device)
    precision = {"bf16": torch.bfloat16}.get(chosen.get("precision", ""), torch.float32)
    timed = {name: calls(c, x.to(device), precision) for name, c in candidates.items()}
    for what in chosen.get("calls", CALLS).split(","):
        # sampling comes last, so that training's updates are over
        for c in candidates.values():
            c.module.train(what == "train")
        usable = {name: t[what] for name, t in timed.items() if _works(name, t[what])}
        if "gdl" in usable and device == "cpu":
            with Products() as products:
                usable["gdl"]()
            usable["products"] = replay(products.found)
        found = interleave(usable, int(chosen.get("rounds", 20)))
        names = sorted(found, key=lambda name: found[name].median)
        ours = next((n for n in names if n.startswith("gdl")), None)
        theirs = next((n for n in names if not n.startswith(("gdl", "products"))), None)
        ratio = str(found[theirs].over(found[ours])) if ours and theirs else "-"
        cells = [found.get(name, "-") for name in table.columns[2:-1]]
        table.add(title, what, *cells, ratio)


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
    chosen = options()
    torch.set_num_threads(int(chosen.get("threads", torch.get_num_threads())))
    flows = rows()
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, as train.py has it
    for_cpus = [name for name in flows if name != "paper"]
    wanted = chosen.get("rows", ",".join(for_cpus)).split(",")
    stars = {"false": [""], "true": ["*"], "both": ["", "*"]}[chosen.get("compile", "false")]
    only = chosen.get("only")
    every = dict.fromkeys(name for row in wanted for name in flows[row][1])
    every = [f"{n}{s}" for n in every if not only or n in only.split(",") for s in stars]
    bound = ["products"] if chosen.get("device", "cpu") == "cpu" else []
    compiled = chosen.get("compile", "false") != "false"
    title = f"Speed: flows{', compiled where marked *' if compiled else ''}, milliseconds"
    table = Table(title, "flow", "call", *every, *bound, "fastest peer / gdl")
    for row in wanted:
        title, builders, x = flows[row]
        picked = {n: builders[n.rstrip("*")] for n in every if n.rstrip("*") in builders}
        compare(table, title, picked, x, chosen)
    table.save()


if __name__ == "__main__":
    main()
