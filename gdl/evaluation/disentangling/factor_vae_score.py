"""FactorVAE score: Kim & Mnih, 2018, "Disentangling by factorising", arXiv 1802.05983, Section 4."""

import torch
from torch import Tensor

from gdl.evaluation.disentangling.shared_values import SharedValues

__all__ = ["factor_vae_score"]

GROUP = 64
"""Images that share a value, for one vote."""


def factor_vae_score(
    codes: Tensor,
    factors: Tensor,
    votes: int = 10_000,
    test_votes: int = 5_000,
    prune: float = 0.05,
    seed: int = 0,
) -> float:
    """Return how often the latent that varies least tells which factor is fixed.

    A vote: of 64 images that share the value of a random factor k, take the latent whose variance,
    divided by its variance over all images, is smallest. A latent stands for the factor that it had
    most votes for; the score is the accuracy of this on further votes. Without a latent that is not
    pruned it is 0, as in Locatello et al. (2019); the least otherwise is about 1 / F.

    Args:
        codes: (N, L), of a VAE the posterior means.
        factors: (N, F) int64.
        votes: Votes that decide what a latent stands for.
        test_votes: Votes for the accuracy.
        prune: A latent with a smaller standard deviation never wins. It is dead: its ratio is noise.
        seed: Seeds the draws.

    Raises:
        GdlError: The values of a factor have too few images each.
    """
    x = codes.cpu().double()
    std = x.std(0)
    alive = (std >= prune) & (std > 0)
    x = x[:, alive] / std[alive]
    generator = torch.Generator().manual_seed(seed)
    shared = SharedValues(factors, generator)
    if not x.shape[1]:
        return 0.0
    num_factors = factors.shape[1]
    counts = [_votes(x, shared, n, num_factors) for n in (votes, test_votes)]
    stands_for = counts[0].argmax(1, keepdim=True)
    return float(counts[1].gather(1, stands_for).sum() / test_votes)


def _votes(x: Tensor, shared: SharedValues, votes: int, num_factors: int) -> Tensor:
    """Return how often each latent varied least while each factor was fixed, (L, F)."""
    found = torch.zeros(x.shape[1], num_factors)
    size = max(1, 2_000_000 // (GROUP * x.shape[1]))
    for start in range(0, votes, size):
        factor, image = shared.factor_and_image(min(size, votes - start))
        group = (factor[:, None].expand(-1, GROUP), image.expand(-1, GROUP))
        least = x[shared.others(*group)].var(1).argmin(1)
        found.index_put_((least, factor), torch.ones(len(factor)), accumulate=True)
    return found
