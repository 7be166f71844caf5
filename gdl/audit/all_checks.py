"""All checks of a model, in an order in which the first failure says most."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from gdl.audit import continuous, contract, diagnosis, enumeration, flows, learning
from gdl.audit.by_family import checks_of_a_bijection, checks_of_the_family, run_check
from gdl.audit.entropy import a_trained_bound
from gdl.audit.finding import FAILED, Finding, at_most, skipped
from gdl.audit.sampling import sample_k_depends_on_seed_and_k
from gdl.audit.subjects import Tiny, draws, perturb, tiny
from gdl.capabilities import InitializesFromData
from gdl.families.base import GenerativeModel
from gdl.flows.base import Bijection

__all__ = ["check"]


def check(model: GenerativeModel, x: Tensor, trained: bool = False) -> list[Finding]:
    """Return what the checks find; none raises, and the model and the random streams stay as they are.

    Args:
        model: Any model of images or vectors.
        x: Images (N, *shape) of its data, 8 or more.
        trained: Whether its weights are those of a run, which are checked as they are. Others are
            perturbed, because weights that start at zero hide what depends on them.
    """
    with torch.random.fork_rng(devices=[]):
        return [f for group in _groups(model, x, trained) for f in group]


def _groups(model: GenerativeModel, x: Tensor, trained: bool) -> Iterator[list[Finding]]:
    own = copy.deepcopy(model).cpu().eval()
    if not trained:
        if isinstance(own, InitializesFromData):
            own.initialize(x)
        perturb(own, 0.1)
    x8 = x[: 4 if sum(p.numel() for p in own.parameters()) > 3_000_000 else 8].cpu()
    first = run_check("terms", lambda: contract.terms_are_per_image(own, x8))
    yield first
    if any(f.verdict == FAILED for f in first):
        yield [skipped("densities", "", "mend the terms of the loss first")]
        return
    finite = run_check("finite", lambda: contract.terms_are_finite(own, x8))
    yield finite
    if any(f.verdict == FAILED for f in finite):
        yield [skipped("densities", "", "mend what is not finite first")]
        yield from checks_of_the_family(model)
        return
    yield from _on_own_images(own, x8)
    if own.nll_kind is None:
        yield [skipped("densities", "", "the model has no density, and says so (nll_kind = None)")]
    elif own.levels is None:
        yield from _continuous(own, x)
    else:
        yield from _on_tiny_images(model)


def _on_own_images(model: GenerativeModel, x: Tensor) -> Iterator[list[Finding]]:
    checks = {
        "bits/dim": contract.bits_are_nats_over_d_ln_2,
        "repeatable": contract.evaluation_changes_nothing,
        "batch": contract.an_image_does_not_know_its_batch,
        "parts of a batch": contract.parts_of_a_batch_are_the_batch,
        "finite tails": contract.tails_are_finite,
        "gradients": learning.gradients_reach_every_parameter,
        "save and load": learning.a_saved_model_is_the_same,
        "precision": learning.precisions_agree,
    }
    for name, f in checks.items():
        yield run_check(name, lambda f=f: f(model, x))
    if getattr(model, "ends", None) is not None:
        yield [skipped("sample k", "", "a target is drawn given its source only")]
        return
    yield run_check("sample k", lambda: sample_k_depends_on_seed_and_k(model))


# ---- tiny images


def _on_tiny_images(model: GenerativeModel) -> Iterator[list[Finding]]:
    trained = False
    for each in tiny(model):
        if isinstance(each, tuple):
            kind, why = each
            yield [skipped("densities", f"all {kind} images of a tiny shape", why)]
            continue
        yield run_check("densities", lambda t=each: [f.of(t.name) for f in _densities(t)])
        if str(each.model.nll_kind) != "exact" and not each.large and not trained:
            yield run_check("entropy", lambda t=each: [f.of(t.name) for f in a_trained_bound(t)])
            trained = True
    for each in tiny(model, gain=8.0, kinds=["binary"]):
        if isinstance(each, Tiny):  # where logits are large, clamps show
            yield run_check(
                "densities", lambda t=each: [f.of("large weights") for f in _densities(t, 2000)]
            )
    yield from checks_of_the_family(model)


def _densities(t: Tiny, k: int = 8000) -> Iterator[Finding]:
    """Yield the findings about all images of a tiny shape, from k evaluations."""
    model, levels, n = t.model, t.model.levels or 2, 500 if t.large else 3000
    exact = model.nll_kind == "exact"
    nll = draws(model, t.x, 1 if exact else max(20, (k // 10 if t.large else k) // len(t.x)))
    if exact:
        yield enumeration.sums_to_one(nll[0], model.shape, levels, t.tolerance)
        if getattr(model, "num_classes", 0) and hasattr(model, "class_nll"):
            yield _of_each_class(t)
    found = enumeration.probabilities(model, t.x, nll)
    if found is not None and not exact:
        yield _mean_sum(*found, model, levels)
    if found is not None:
        yield enumeration.samples_follow(t, *found, n)
    if not exact:
        yield enumeration.bound_on_the_total(nll, model.shape, levels)
        yield enumeration.bound_below_frequencies(t, nll, n)


@torch.no_grad()
def _of_each_class(t: Tiny) -> Finding:
    """Return the finding about the class y whose p(x | y) sums to 1 least."""
    each = t.model.class_nll(t.x).double().T  # pyright: ignore[reportCallIssue]
    levels = t.model.levels or 2
    found = [enumeration.sums_to_one(nll, t.model.shape, levels, t.tolerance) for nll in each]
    y = max(range(len(found)), key=lambda y: found[y].figure or 0.0)
    return found[y].of(f"given class {y}")


def _mean_sum(p: Tensor, error: Tensor, model: GenerativeModel, levels: int) -> Finding:
    if not bool(error.isfinite().all()):
        return skipped("sum to 1", "", "the estimates of p(x) vary too much")
    total = float(p.sum())
    errors = (total - 1) / max(float(error.square().sum().sqrt()), 1e-3)
    leaks = str(model.nll_kind).startswith(("dequant", "vardeq"))  # to values that are no pixels
    named = diagnosis.of_total(-p.log(), model.num_dims, levels)
    reason = f"p(x) sums to {total:.4g} over all images: {named or 'it is not normalised'}"
    what = "sum of the estimates of p(x) - 1, in errors"
    return at_most("sum to 1", what, errors if leaks else abs(errors), 6.0, reason)


def _continuous(model: GenerativeModel, x: Tensor) -> Iterator[list[Finding]]:
    wide = copy.deepcopy(model).double()

    def checks() -> Iterator[Finding]:
        yield continuous.integrates_to_one(wide, model.num_dims)  # pyright: ignore
        yield continuous.samples_follow_density(wide)
        if isinstance(getattr(wide, "bijection", None), Bijection):
            yield from checks_of_a_bijection(wide, x[:64])
            yield flows.change_of_variables(wide, x[:8])  # pyright: ignore
        yield learning.gradients_are_those_of_the_loss(wide, x[:8].double())

    yield run_check("densities", checks)
