"""No training can beat the entropy: a search for what makes a wrong bound too good."""

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gdl.audit.enumeration import frequencies
from gdl.audit.finding import FAILED, Finding, at_most
from gdl.audit.subjects import Tiny, draws
from gdl.capabilities import Samples
from gdl.noise import seed_noise

__all__ = [
    "a_trained_bound",
    "independent_pixels",
    "no_training_beats_the_entropy",
    "samples_fit_as_well",
]


def independent_pixels(x: Tensor, levels: int) -> Tensor:
    """Return probabilities (N,) of all images x: independent pixels, each with levels of its own."""
    g = torch.Generator().manual_seed(0)
    values = x.flatten(1).long()
    log_p = torch.randn(values.shape[1], levels, generator=g, dtype=torch.float64).log_softmax(1)
    return log_p.gather(1, values.T).sum(0).exp()


def a_trained_bound(tiny: Tiny, steps: int = 150) -> Iterator[Finding]:
    """Train on independent pixels; then the bound is tight enough to show more, see `entropy`."""
    model, x = copy.deepcopy(tiny.model).float(), tiny.x
    p = independent_pixels(x, model.levels or 2)
    _train(model, x, p, steps)
    nll = draws(model.eval(), x, max(16, 8000 // len(x)))
    yield no_training_beats_the_entropy(nll, p)
    if isinstance(model, Samples):
        yield samples_fit_as_well(
            nll, p, frequencies(model, model.shape, model.levels or 2, 20_000)[0]
        )


def samples_fit_as_well(nll: Tensor, p: Tensor, counts: Tensor) -> Finding:
    """KL(data, samples) <= E nll - entropy(data), if nll bounds -log of what is sampled.

    After training the right side is small, so samples have to be like the data.

    Args:
        nll: Draws of the nll of all images (K, N).
        p: Probabilities of the data (N,).
        counts: How often each image came among many samples (N,).
    """
    n, f = int(counts.sum()), counts.double()
    log_f = ((f + 0.5) / (n + 0.5 * len(f))).log()
    error = float((p.square() / (f + 0.5)).sum().sqrt())
    excess = float(-(p * log_f).sum() - (nll @ p).mean())
    reason = (
        "samples are less like the data than the nll says: sample draws from "
        "another distribution (rounding, "
        "order, noise), or nll is less than -log p(x)"
    )
    what = "E -log f - E nll in nats, f the frequencies of samples, trained"
    return at_most("samples fit as well", what, excess, 0.05 + 6 * error, reason)


def _train(model: torch.nn.Module, x: Tensor, p: Tensor, steps: int) -> None:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        return
    optimizer = torch.optim.Adam(parameters, 0.02)
    g = torch.Generator().manual_seed(0)
    for step in range(steps):
        batch = x[torch.multinomial(p, 128, replacement=True, generator=g)]
        seed_noise(torch.device("cpu"), "audit", "training", step)
        optimizer.zero_grad()
        loss = model.loss(batch)["nll"].mean()  # pyright: ignore[reportCallIssue]
        if not bool(loss.isfinite()) or float(loss.detach()) < -20:
            break
        loss.backward()
        if step > steps // 2:
            optimizer.param_groups[0]["lr"] = 0.005
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()


def no_training_beats_the_entropy(nll: Tensor, p: Tensor) -> Finding:
    """The mean nll over data with probabilities p is at least their entropy (Gibbs' inequality).

    Training finds what an nll counts wrongly: a term with the wrong sign, or a density that is taken
    for a probability, grows without limit. Independent pixels are easy, so an nll comes near their
    entropy; what stays at 1 / ln 2 times the entropy is in bits.

    Args:
        nll: Draws of the nll of all images (K, N).
        p: Their probabilities (N,).
    """
    check, what = "entropy", "entropy - mean nll in nats, trained on independent pixels"
    entropy, means = float(-(p * p.log()).sum()), nll @ p
    below, error = entropy - float(means.mean()), float(means.std()) / math.sqrt(len(means))
    if abs(float(means.mean()) / entropy * math.log(2) - 1) < 0.015:
        reason = (
            f"nll stays at {float(means.mean()):.3f}, the entropy is {entropy:.3f}: "
            "it is in bits, not nats"
        )
        return Finding(check, what, below, 0.02, FAILED, reason)
    reason = (
        "the nll is less than any density allows: a term has the wrong sign or "
        "is missing, or a density is "
        "taken for a probability"
    )
    return at_most(check, what, below, 0.02 + 6 * error, reason)
