"""Theorems about all images of a tiny shape: sums to 1, frequencies of samples."""

import math

import torch
from torch import Tensor

from gdl.audit import diagnosis
from gdl.audit.finding import FAILED, Finding, at_most, skipped
from gdl.audit.subjects import Tiny, draws
from gdl.capabilities import HasImportanceWeights, HasPosterior, Invertible, Samples
from gdl.families.base import GenerativeModel
from gdl.noise import seed_noise

__all__ = [
    "bound_below_frequencies",
    "bound_on_the_total",
    "chi_square",
    "frequencies",
    "is_random",
    "probabilities",
    "samples_follow",
    "sums_to_one",
]

SURE = 1e-7
"""A p-value below this is no accident; the noise of a check is the same each time."""


@torch.no_grad()
def is_random(model: GenerativeModel, x: Tensor) -> bool:
    """Return whether two evaluations of the nll of images x differ, with noise of their own."""
    one, two = draws(model, x, 2)
    return not torch.equal(one, two)


def sums_to_one(nll: Tensor, shape: tuple[int, ...], levels: int, tolerance: float) -> Finding:
    """The probabilities exp(-nll) of all images (N,) sum to 1, if nll is exact."""
    log_total, what = float((-nll).logsumexp(0)), "|log of the sum of p(x) over all images|"
    named = diagnosis.of_total(nll, math.prod(shape), levels)
    reason = f"p(x) sums to {math.exp(min(log_total, 700)):.4g}: " + (
        named or "something is not normalised, or a position sees itself or later ones"
    )
    return at_most("sum to 1", what, abs(log_total), tolerance, reason)


def bound_on_the_total(nll: Tensor, shape: tuple[int, ...], levels: int) -> Finding:
    """The sum over all images of exp(-E nll) is at most 1, if nll (K, N) bounds -log p(x) from above.

    exp(-E nll) <= p(x), by the definition of a bound.
    """
    mean, n = nll.mean(0), len(nll)
    error = float((nll.std(0) / math.sqrt(n)).max()) if n > 1 else 0.0
    log_total = float((-mean).logsumexp(0))
    named = diagnosis.of_total(mean, math.prod(shape), levels)
    reason = (
        f"exp(-nll) sums to {math.exp(min(log_total, 700)):.4g} over all images, so nll is less than "
        f"-log p(x): {named or 'a term is missing, or has the wrong sign'}"
    )
    what = "log of the sum of exp(-nll) over all images, of a bound"
    return at_most("bound on the sum", what, log_total, 6 * error + 1e-3, reason)


@torch.no_grad()
def probabilities(model: GenerativeModel, x: Tensor, nll: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return p(x) (N,) and its standard errors, as the model's nll says; None where a bound is all.

    An error is infinite where it is not known.

    exp(-nll) is p(x) of an exact nll. Its mean over draws is p(x) of an importance-weighted bound,
    also of a flow's from dequantization samples. Of an ELBO it is not.

    Args:
        model: In eval mode.
        x: All images of its shape.
        nll: Draws of its nll (K, N).
    """
    kind, k = str(model.nll_kind), len(nll)
    if kind == "exact":
        p = nll[0].neg().exp()
        return p, torch.zeros_like(p)
    seed_noise(model.device, "audit", "weights")
    if isinstance(model, HasPosterior):
        # from the prior: a perturbed posterior would give weights without a variance
        like = next(model.parameters())  # pyright: ignore[reportAttributeAccessIssue]
        z = torch.randn(5 * k, 1, *model.latent_shape).to(like)
        w = torch.cat([model.log_joint(x, part.expand(-1, len(x), -1))[0] for part in z.split(50)])
    elif isinstance(model, HasImportanceWeights) and not kind.startswith(
        ("iwae", "dequant", "vardeq")
    ):
        w = torch.cat([sum(model.log_weights(x, 50)) for _ in range(-(-k // 50))])  # pyright: ignore
    elif kind.startswith(("iwae", "dequant", "vardeq")):
        w = -nll
    else:
        return None
    p = w.double().exp()
    error = p.std(0) / math.sqrt(len(p))
    # where one draw of an image weighs so much, its error is not known
    return p.mean(0), error.masked_fill(p.amax(0) > 0.15 * p.sum(0), math.inf)


@torch.no_grad()
def frequencies(
    model: GenerativeModel, shape: tuple[int, ...], levels: int, n: int
) -> tuple[Tensor, int]:
    """Return how often each image comes among n samples (levels^D,), and how many are none of them.

    A flow's samples count before they are clamped to the range of the pixels.
    """
    y = None
    if isinstance(model, Invertible) and getattr(model, "dequantize", None) is not None:
        y = (model.sample_continuous(n, seed=1) * levels).floor()
    if y is None:
        assert isinstance(model, Samples)
        y = model.sample(n, seed=1)
    y = y.double().flatten(1)
    inside = ((y >= 0) & (y < levels) & (y == y.floor())).all(1)
    place = levels ** torch.arange(y.shape[1] - 1, -1, -1).double()
    index = (y[inside] * place).sum(1).long()
    return torch.bincount(index, minlength=levels ** y.shape[1]), int((~inside).sum())


def chi_square(
    counts: Tensor, outside: int, p: Tensor, error: Tensor | None = None
) -> tuple[float, Tensor]:
    """Return the p-value of counts (N,), given the probabilities p (N,), and which were compared.

    What is expected less than 5 times is put together with what is outside of all N.

    Args:
        counts: How often each came.
        outside: How many samples are none of them.
        p: Probabilities of the N, which sum to at most 1.
        error: Their standard errors.
    """
    n = int(counts.sum()) + outside
    variance = torch.zeros_like(p) if error is None else (n * error).square()
    expected = n * p
    often = (expected >= 5) & variance.isfinite()
    if not bool(variance.isfinite().all()):
        return _chi_square(counts[often].double(), expected[often], variance[often]), often
    rest = n - float(expected[often].sum())
    observed = torch.cat([counts[often].double(), counts.new_tensor([n]).double()])
    observed[-1] -= counts[often].sum()
    expected = torch.cat([expected[often], expected.new_tensor([max(rest, 0.0)])])
    variance = torch.cat([variance[often], variance[often].sum()[None]])
    return _chi_square(observed, expected, variance), often


def _chi_square(observed: Tensor, expected: Tensor, variance: Tensor) -> float:
    # where nothing is expected nothing may come; rounding of p is less than half a sample
    scale = (expected + variance).clamp(min=0.5)
    statistic = ((observed - expected).square() / scale).sum()
    degrees = torch.tensor(max(1.0, len(observed) - 1.0), dtype=torch.float64)
    return float(torch.special.gammaincc(degrees / 2, statistic.double() / 2))


def samples_follow(tiny: Tiny, p: Tensor, error: Tensor, n: int) -> Finding:
    """Each image comes among n samples as often as its probability says (chi-square)."""
    shape, levels = tiny.model.shape, tiny.model.levels
    assert levels is not None
    check, what = "samples", f"-log10 of the p-value of the frequencies of {n} samples"
    if not isinstance(tiny.model, Samples):
        return skipped(check, what, "the model does not sample")
    counts, outside = frequencies(tiny.model, shape, levels, n)
    if (
        str(tiny.model.nll_kind).startswith(("dequant", "vardeq"))
        and not outside
        and float(p.sum()) < 0.99
    ):
        # what lies outside of the pixels' range was clamped to its border before it was counted
        inner = ((tiny.x > 0) & (tiny.x < levels - 1)).flatten(1).all(1)
        outside = int(counts[~inner].sum())
        counts, p, error = counts * inner, p * inner, error.masked_fill(~inner, 0.0)
    value, often = chi_square(counts, outside, p, error)
    figure, tolerance = -math.log10(max(value, 1e-300)), -math.log10(SURE)
    if value >= SURE:
        return Finding(check, what, figure, tolerance)
    seen = often & (counts > 20)
    f = counts[seen].double() / n
    named = None
    if len(f) > 2:
        named = diagnosis.of_difference(-p[seen].log(), -f.log(), math.prod(shape), levels)
    reason = named or _difference(counts, p, shape, levels, n, outside)
    return Finding(check, what, figure, tolerance, FAILED, f"samples are not of p(x): {reason}")


def _difference(
    counts: Tensor, p: Tensor, shape: tuple[int, ...], levels: int, n: int, outside: int
) -> str:
    """Say how the frequencies differ from the probabilities, as well as it can be told."""
    if outside > 0.9 * n:
        return f"{outside} of {n} are not integers in 0, ..., levels - 1"
    table = counts.double().view([levels] * math.prod(shape))
    turned = {
        "they are turned over: the order in which sample writes the pixels is not that of nll": (
            lambda t: t.permute(*reversed(range(t.dim())))
        ),
        "their values are inverted": lambda t: t.flip(*range(t.dim())),
        "their values are shifted by one level, see how sample rounds": lambda t: t.roll(
            [1] * t.dim(), [*range(t.dim())]
        ),
    }
    gap = lambda t: float((t.flatten() / n - p).abs().sum())  # noqa: E731
    for text, turn in turned.items():
        if gap(turn(table)) < 0.4 * gap(table):
            return text
    total = float(p.sum())
    if total < 0.9 and outside < (1 - total) * n / 2:
        return f"p(x) sums to {total:.3g} only, so nll is too large: a term is wrong, or a sign"
    k = int((counts / n - p).abs().argmax())
    return (
        f"image {k} comes {int(counts[k])} times where {n * float(p[k]):.0f} "
        "are expected: sample draws "
        "from another distribution (temperature, order, clamping, noise), or nll has a wrong term"
    )


def bound_below_frequencies(tiny: Tiny, nll: Tensor, n: int) -> Finding:
    """No image comes less often among n samples than its bound (K, N) allows: exp(-E nll) <= p(x)."""
    shape, levels = tiny.model.shape, tiny.model.levels
    assert levels is not None
    check, what = "bound below samples", f"largest excess of exp(-nll) over {n} samples, in errors"
    if not isinstance(tiny.model, Samples):
        return skipped(check, what, "the model does not sample")
    counts, _ = frequencies(tiny.model, shape, levels, n)
    low = (-nll.mean(0)).exp()
    noise = low * nll.std(0) / math.sqrt(len(nll)) if len(nll) > 1 else 0 * low
    f = counts.double() / n
    error = (low.clamp(max=1) * (1 - low.clamp(max=1)) / n + 9 / n**2 + noise.square()).sqrt()
    excess = (low - f) / error
    k = int(excess.argmax())
    reason = (
        f"image {k} comes {int(counts[k])} times, but exp(-nll) says at least {n * float(low[k]):.0f}: "
        "nll is less than -log p(x), or sample draws from another distribution"
    )
    return at_most(check, what, float(excess.max()), 6.0, reason)
