"""What holds for every model on its own images: the terms of the loss, and what they depend on."""

import math

import torch
from torch import Tensor

from gdl.audit.finding import FAILED, WARNING, Finding, at_most, skipped
from gdl.audit.subjects import nll_of
from gdl.families.base import GenerativeModel
from gdl.noise import seed_noise
from gdl.part import Part

__all__ = [
    "an_image_does_not_know_its_batch",
    "bits_are_nats_over_d_ln_2",
    "evaluation_changes_nothing",
    "loss_of",
    "parts_of_a_batch_are_the_batch",
    "tails_are_finite",
    "terms_are_finite",
    "terms_are_per_image",
]

CPU = torch.device("cpu")


def loss_of(model: GenerativeModel, x: Tensor, seed: int = 0, part: Part | None = None) -> Tensor:
    """Return "nll", or "loss" of a model without, with noise of that seed."""
    seed_noise(CPU, "audit", seed, part=part)
    terms = model.loss(x)
    seed_noise(CPU, "audit", seed)
    return terms.get("nll", terms["loss"])


def terms_are_per_image(model: GenerativeModel, x: Tensor) -> Finding:
    """Each term of `loss` is of shape (B,), for one image and for several."""
    check, what = "terms", "terms that are not of shape (B,)"
    before = x.clone()
    for batch in (x, x[:1]):
        seed_noise(CPU, "audit", 0)
        try:
            terms = model.loss(batch)
        except Exception as e:
            if len(batch) > 1:
                raise
            text = " ".join(str(e).split())[:120]
            reason = f"an image alone has no loss ({text}): a batch norm that uses the batch?"
            return Finding(check, what, 1, 0, FAILED, reason)
        needed = ("loss",) if model.nll_kind is None else ("loss", "nll")
        for name in needed:
            if name not in terms:
                reason = f'loss returns no "{name}": it returns {", ".join(terms)}'
                return Finding(check, what, 1, 0, FAILED, reason)
        for name, term in terms.items():
            if tuple(term.shape) != (len(batch),):
                reason = (
                    f"{name} has the shape {tuple(term.shape)} for {len(batch)} images, not "
                    "(B,): return a "
                    "number for each image, sum over its dimensions only"
                )
                return Finding(check, what, 1, 0, FAILED, reason)
    if not torch.equal(before, x):
        return Finding(check, what, 1, 0, FAILED, "loss writes into the batch it is given")
    return Finding(check, what, 0, 0)


@torch.no_grad()
def terms_are_finite(model: GenerativeModel, x: Tensor) -> Finding:
    """Each term of `loss` is a finite number."""
    seed_noise(CPU, "audit", 0)
    bad = [name for name, term in model.loss(x).items() if not bool(term.isfinite().all())]
    reason = f"{', '.join(bad)} is NaN or infinite on images of the data"
    return at_most("finite", "terms that are not finite", len(bad), 0, reason)


def bits_are_nats_over_d_ln_2(model: GenerativeModel, x: Tensor) -> Finding:
    """bits/dim = nll / (D ln 2), wherever the model reports it."""
    check, what = "bits/dim", "|bits/dim - nll / (D ln 2)|, relative"
    if model.nll_kind is None or model.levels is None:
        return skipped(check, what, "the model has no probability of integers")
    d, seen = math.prod(model.shape), {}
    seen["bits_per_dim"] = (model.bits_per_dim(10.0), 10.0 / (d * math.log(2)))
    seed_noise(CPU, "audit", 0)
    means = {k: float(v.detach().double().mean()) for k, v in model.loss(x).items()}
    right = means["nll"] / (d * math.log(2))
    for name in ("bpd", "bits_per_dim", "bits/dim"):
        if name in means:
            seen[f"the term {name}"] = (means[name], right)
    derived = model.derived(dict(means))
    seen["derived"] = (derived.get("bpd", right), right)
    seed_noise(CPU, "audit", 0)
    alike, own = model.nll(x).detach().double(), nll_of(model, x).detach()
    if not model.training and float((alike - own).abs().mean()) > 0.05 * (1 + own.abs().mean()):
        seen["nll(x)"] = (float(alike.mean()), float(own.mean()))
    errors = {k: abs(a - b) / max(abs(b), 1e-9) for k, (a, b) in seen.items()}
    worst = max(errors, key=lambda k: errors[k])
    ratio = seen[worst][0] / seen[worst][1]
    known = {math.log(2): "ln 2 is missing", math.log(2) ** 2: "ln 2 stands in the numerator"}
    known |= {d: "it is not divided by D", d * math.log(2): "it is nats, not bits/dim"}
    known |= {1 / d: "it is divided by D twice", 1 / math.log(256): "ln 256 does not belong there"}
    why = [text for value, text in known.items() if math.isclose(ratio, value, rel_tol=1e-3)]
    reason = (
        f"{worst} is {ratio:.4g} times what it should be: {(why or ['it is of another term'])[0]}"
    )
    return at_most(check, what, errors[worst], 1e-2 if worst == "nll(x)" else 1e-5, reason)


@torch.no_grad()
def an_image_does_not_know_its_batch(model: GenerativeModel, x: Tensor) -> Finding:
    """In evaluation the nll of an image is the same, whatever images are with it in the batch."""
    check, what = "batch", "|nll of an image in one batch - in another|, relative"
    other = x.clone()
    other[1:] = x[1:].flip(0).flip(-1)
    other[-1] = x[0]
    one, two = loss_of(model, x)[0], loss_of(model, other)[0]
    error = float((one - two).abs() / (1 + one.abs()))
    reason = (
        "the nll of an image depends on the others: a batch norm that uses the batch in evaluation, or "
        "a mean over the batch"
    )
    return at_most(check, what, error, 1e-4, reason)


@torch.no_grad()
def parts_of_a_batch_are_the_batch(model: GenerativeModel, x: Tensor) -> Finding:
    """Two processes with half of the batch each compute what one with all of it does."""
    check, what = "parts of a batch", "|nll in two processes - in one|, relative"
    n = len(x) // 2 * 2
    whole = loss_of(model, x[:n], part=Part(0, n, n))
    halves = torch.cat(
        [loss_of(model, x[i : i + n // 2], part=Part(i, n // 2, n, 2)) for i in (0, n // 2)]
    )
    error = float(((whole - halves).abs() / (1 + whole.abs())).max())
    reason = (
        "each process draws noise of its own, so several compute another loss than one: draw it from "
        "gdl.noise.normal or uniform"
    )
    return at_most(check, what, error, 1e-4, reason, bad=WARNING)


@torch.no_grad()
def evaluation_changes_nothing(model: GenerativeModel, x: Tensor) -> Finding:
    """Two evaluations with the same seed agree, and leave parameters and buffers as they are."""
    check, what = "repeatable", "|nll - nll again, with the same seed|"
    before = {k: v.clone() for k, v in model.state_dict().items()}
    one, two = loss_of(model, x), loss_of(model, x)
    for name, value in model.state_dict().items():
        if not torch.equal(value, before[name]):
            return Finding(
                check,
                what,
                math.nan,
                0.0,
                FAILED,
                f"evaluation changes {name}: an average that is updated",
            )
    error = float((one - two).abs().max())
    reason = (
        "the noise is not from the default random streams, so no run can be "
        "repeated: use gdl.noise"
    )
    if model.nll_kind == "exact":
        other = loss_of(model, x, seed=1)
        if float((other - one).abs().max()) > 1e-4 * (1 + float(one.abs().max())):
            error = float((other - one).abs().max())
            reason = (
                'nll is random, so it is not exact: say nll_kind = "bound", or look '
                "for dropout and noise in "
                "evaluation"
            )
            return Finding(check, "|nll - nll with another seed|", error, 0.0, FAILED, reason)
    return at_most(check, what, error, 0.0, reason)


def tails_are_finite(model: GenerativeModel, x: Tensor) -> Finding:
    """The nll of constant, random and inverted images is finite, and so are its gradients."""
    check, what = "finite tails", "kinds of images whose nll or gradient is not finite"
    if model.levels is None:
        far = {"a far point": 30 * x.abs().max() + 0 * x, "zeros": 0 * x, "x 10": 10 * x}
    else:
        g = torch.Generator().manual_seed(0)
        noise = torch.randint(model.levels, x.shape, generator=g).to(x)
        top = model.levels - 1
        far = {"black": 0 * x, "white": 0 * x + top, "noise": noise, "inverted": top - x}
    bad = []
    for name, images in far.items():
        model.zero_grad()
        nll = loss_of(model, images[:4])
        nll.mean().backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        if not bool(nll.isfinite().all()):
            bad.append(f"nll of {name}")
        elif not all(bool(g.isfinite().all()) for g in grads):
            bad.append(f"gradient at {name}")
    model.zero_grad()
    reason = (
        f"not finite: {', '.join(bad)}; use logsigmoid, log_softmax or logsumexp in place of logs"
    )
    return at_most(check, what, len(bad), 0, reason)
