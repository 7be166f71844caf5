"""The importance-weighted bound of a VAE against the loop that one writes by hand.

    python benchmarks/evaluation.py [rounds=10] [threads=1,2] [k=1000] [images=100] [record=FILE]

Both draw k latents for each of the binary MNIST-sized images (784-200-200-50); the loop takes 50 images
and 20 latents at a time and keeps all weights until the end. They take turns in one process.
"""

import resource

import torch
from records import Table, options
from timing import interleave
from torch import Tensor

from gdl.distributions import log_normal
from gdl.evaluation.importance_sampling import importance_weighted_bound
from gdl.models import VAE


@torch.inference_mode()
def plain(model: VAE, x: Tensor, k: int) -> Tensor:
    """Return log p(x) (N,) by the loop."""
    found = []
    for batch in x.split(50):
        mean, log_std = model.posterior(batch)
        weights = []
        for _ in range(k // 20):
            noise = torch.randn(20, *mean.shape)
            log_px, log_pz = model.log_joint(batch, mean + log_std.exp() * noise)
            weights.append(log_px + log_pz - log_normal(noise) + log_std.sum(-1))
        found.append(torch.cat(weights).logsumexp(0))
    return torch.cat(found)


def main() -> None:
    """Print a row for each number of threads."""
    chosen = options()
    k, count = int(chosen.get("k", 1000)), int(chosen.get("images", 100))
    table = Table(
        f"Speed: the IWAE-{k} bound of {count} images, milliseconds",
        *("threads", "gdl", "plain loop", "plain loop / gdl (aim 1.0)", "peak memory, GB"),
    )
    torch.manual_seed(0)
    model = VAE((1, 28, 28), 2, latent_dim=50).eval()
    x = (torch.rand(count, 1, 28, 28) < 0.2).to(torch.uint8)
    for threads in map(int, chosen.get("threads", "1,2").split(",")):
        torch.set_num_threads(threads)
        ours = lambda: importance_weighted_bound(model, x.split(50), k)  # noqa: E731
        calls = {"gdl": ours, "plain": lambda: plain(model, x, k)}
        times = interleave(calls, int(chosen.get("rounds", 10)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        table.add(threads, times["gdl"], times["plain"], times["plain"].over(times["gdl"]), peak)
    table.save()


if __name__ == "__main__":
    main()
