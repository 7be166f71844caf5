"""All checks of a model, in an order in which the first failure says most."""

import copy
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from gdl.audit import bounds, causality, continuous, contract, diagnosis, enumeration, flows
from gdl.audit.entropy import a_trained_bound
from gdl.audit.finding import FAILED, Finding, at_most, skipped
from gdl.audit.sampling import sample_k_depends_on_seed_and_k
from gdl.audit.subjects import Tiny, draws, perturb, random_images, rebuilt, tiny
from gdl.capabilities import HasImportanceWeights, HasPosterior, InitializesFromData
from gdl.families.autoregressive import AutoregressiveModel
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
    first = _run("terms", lambda: contract.terms_are_per_image(own, x8))
    yield first
    if any(f.verdict == FAILED for f in first):
        yield [skipped("densities", "", "mend the terms of the loss first")]
        return
    finite = _run("finite", lambda: contract.terms_are_finite(own, x8))
    yield finite
    if any(f.verdict == FAILED for f in finite):
        yield [skipped("densities", "", "mend what is not finite first")]
        yield from _by_family(model)
        return
    yield from _on_own_images(own, x8)
    if own.nll_kind is None:
        yield [skipped("densities", "", "the model has no density, and says so (nll_kind = None)")]
    elif own.levels is None:
        yield from _continuous(own, x)
    else:
        yield from _on_tiny_images(model)


def _run(name: str, f: Callable[[], Finding | Iterable[Finding]]) -> list[Finding]:
    """Return the findings of a check; an error in it is one, too."""
    try:
        found = f()
        return [found] if isinstance(found, Finding) else list(found)
    except Exception as e:
        text = " ".join(f"{type(e).__name__}: {e}".split())[:200]
        return [Finding(name, "the check", verdict=FAILED, reason=f"it ends with {text}")]


def _on_own_images(model: GenerativeModel, x: Tensor) -> Iterator[list[Finding]]:
    checks = {
        "bits/dim": contract.bits_are_nats_over_d_ln_2,
        "repeatable": contract.evaluation_changes_nothing,
        "batch": contract.an_image_does_not_know_its_batch,
        "parts of a batch": contract.parts_of_a_batch_are_the_batch,
        "finite tails": contract.tails_are_finite,
        "gradients": contract.gradients_reach_every_parameter,
        "save and load": contract.a_saved_model_is_the_same,
        "precision": contract.precisions_agree,
    }
    for name, f in checks.items():
        yield _run(name, lambda f=f: f(model, x))
    yield _run("sample k", lambda: sample_k_depends_on_seed_and_k(model))


# ---- tiny images


def _on_tiny_images(model: GenerativeModel) -> Iterator[list[Finding]]:
    trained = False
    for each in tiny(model):
        if isinstance(each, tuple):
            kind, why = each
            yield [skipped("densities", f"all {kind} images of a tiny shape", why)]
            continue
        yield _run("densities", lambda t=each: [f.of(t.name) for f in _densities(t)])
        if str(each.model.nll_kind) != "exact" and not each.large and not trained:
            yield _run("entropy", lambda t=each: [f.of(t.name) for f in a_trained_bound(t)])
            trained = True
    for each in tiny(model, gain=8.0, kinds=["binary"]):
        if isinstance(each, Tiny):  # where logits are large, clamps show
            yield _run("densities", lambda t=each: [f.of("large weights") for f in _densities(t, 2000)])
    yield from _by_family(model)


def _densities(t: Tiny, k: int = 8000) -> Iterator[Finding]:
    """Yield the findings about all images of a tiny shape, from k evaluations."""
    model, levels, n = t.model, t.model.levels or 2, 500 if t.large else 3000
    exact = model.nll_kind == "exact"
    nll = draws(model, t.x, 1 if exact else max(20, (k // 10 if t.large else k) // len(t.x)))
    if exact:
        yield enumeration.sums_to_one(nll[0], model.shape, levels, t.tolerance)
    found = enumeration.probabilities(model, t.x, nll)
    if found is not None and not exact:
        yield _mean_sum(*found, model, levels)
    if found is not None:
        yield enumeration.samples_follow(t, *found, n)
    if not exact:
        yield enumeration.bound_on_the_total(nll, model.shape, levels)
        yield enumeration.bound_below_frequencies(t, nll, n)


def _mean_sum(p: Tensor, error: Tensor, model: GenerativeModel, levels: int) -> Finding:
    if not bool(error.isfinite().all()):
        return skipped("sum to 1", "", "the estimates of p(x) vary too much")
    total = float(p.sum())
    errors = (total - 1) / max(float(error.square().sum().sqrt()), 1e-3)
    leaks = str(model.nll_kind).startswith("dequant")  # to values that are no pixels
    named = diagnosis.of_total(-p.log(), model.num_dims, levels)
    reason = f"p(x) sums to {total:.4g} over all images: {named or 'it is not normalised'}"
    what = "sum of the estimates of p(x) - 1, in errors"
    return at_most("sum to 1", what, errors if leaks else abs(errors), 6.0, reason)


def _by_family(model: GenerativeModel) -> Iterator[list[Finding]]:
    if isinstance(model, AutoregressiveModel):
        yield from _autoregressive(model)
    if isinstance(getattr(model, "bijection", None), Bijection):
        yield from _flow(model)
    if isinstance(model, HasImportanceWeights):
        yield from _latent(model)


def _small(
    model: GenerativeModel, *shapes: tuple[tuple[int, ...], int], width: int = 16
) -> tuple[GenerativeModel, Tensor]:
    """Return a perturbed model of the first of these shapes that its class takes, and images.

    Raises:
        Exception: It takes none.
    """
    for shape, levels in shapes:
        try:
            made = rebuilt(model, small=True, width=width, shape=shape, levels=levels)
            x = random_images(shape, levels, 64)
            if isinstance(made, InitializesFromData):
                made.initialize(x)
            made.loss(x[:2])
        except Exception:
            if (shape, levels) == shapes[-1]:
                raise
            continue
        perturb(made, 0.3)
        return made.double().eval(), x
    raise AssertionError


def _autoregressive(model: AutoregressiveModel) -> Iterator[list[Finding]]:
    levels = min(model.levels or 2, 4)
    for shapes in ([((1, 3, 4), levels), ((1, 3, 4), 2)], [((3, 2, 2), levels), ((3, 2, 2), 2)]):

        def checks(shapes: list = shapes) -> Iterator[Finding]:
            made, _ = _small(model, *shapes, width=64)
            where = f"{'x'.join(map(str, made.shape))} of {made.levels} levels"
            yield causality.depends_on_earlier_only(made, tries=4).of(where)  # pyright: ignore
            yield causality.fast_sampler_is_the_naive_one(made).of(where)  # pyright: ignore

        yield _if_taken("causality", checks)
    yield _if_taken("derivative", lambda: _derivative(model))


def _derivative(model: GenerativeModel) -> Iterator[Finding]:
    made, x = _small(model, ((1, 4, 4), model.levels or 2), (model.shape, model.levels or 2))
    yield contract.gradients_are_those_of_the_loss(made, x[:8])


def _flow(model: GenerativeModel) -> Iterator[list[Finding]]:
    levels = model.levels or 2

    def checks() -> Iterator[Finding]:
        made, x = _small(model, ((1, 4, 4), levels), ((3, 2, 2), levels), (model.shape, levels))
        if getattr(made, "dequantize", None) is not None:
            yield flows.dequantizes(made.dequantize, x[:4])  # pyright: ignore
        yield from _bijection(made, x)
        yield flows.change_of_variables(made, x[:8])  # pyright: ignore
        if getattr(made, "dequantize", None) is not None:
            y = made.dequantize.inverse(made.sample_continuous(20, seed=1))  # pyright: ignore
            error = float((y.double() - made.sample(20, seed=1).double()).abs().max())  # pyright: ignore
            reason = "sample is not the rounded sample_continuous"
            yield at_most("samples of a flow", "|difference| in levels", error, 0.0, reason)

    yield _if_taken("log-determinant", checks)
    yield _if_taken("derivative", lambda: _derivative(model))


def _bijection(made: GenerativeModel, x: Tensor) -> Iterator[Finding]:
    """Yield the findings about the maps of a flow in float64, and about its inverse in float32."""
    y = x[:2].double() if made.levels is None else made._continuous(x[:2])[0]  # pyright: ignore
    parts = flows.inner_bijections(made.bijection, y)  # pyright: ignore
    if sum(p.numel() for p in made.parameters()) > 5_000_000:
        parts = parts[-1:]
    yield flows.log_det_is_that_of_the_jacobian(parts)
    yield flows.inverts(parts, 1e-8)
    single = copy.deepcopy(made).float()
    with torch.no_grad():
        back = single.decode(single.encode(x))  # pyright: ignore[reportAttributeAccessIssue]
    error = float((back.double() - x.double()).abs().max())
    reason = "decode(encode(x)) is not x in float32: scales are too extreme, or a step is not undone"
    what = "|decode(encode(x)) - x| in float32, in levels of a pixel"
    yield at_most("inverse", what, error, 0.02 * max(1, (made.levels or 1) / 17), reason)
    yield flows.prior_is_that_of_its_samples(made.prior, made.num_dims)  # pyright: ignore


def _latent(model: GenerativeModel) -> Iterator[list[Finding]]:
    def checks() -> Iterator[Finding]:
        few = {"latent_dim": 2} if "latent_dim" in model._arguments else {}
        made, x = _small(rebuilt(model, small=True, **few), ((1, 2, 3), 2), ((1, 2, 2), min(model.levels or 2, 4)), (model.shape, model.levels or 2))
        perturb(made, 0.5, seed=2)
        yield from bounds.bounds_are_in_order(made, x[:8])
        if isinstance(made, HasPosterior):
            yield bounds.rate_is_the_divergence(made, x[:8])
            if (found := bounds.evidence(made, enumeration_images(made))) is not None:
                nll = -found[0]
                yield enumeration.sums_to_one(nll, made.shape, made.levels or 2, 1e-5).of(
                    "by quadrature"
                )
        yield bounds.terms_add_up(made.loss(x[:8]))

    yield _if_taken("bounds", checks)
    yield _if_taken("derivative", lambda: _derivative(model))


def enumeration_images(model: GenerativeModel) -> Tensor:
    """Return all images of a model's shape."""
    from gdl.audit.subjects import all_images

    return all_images(model.shape, model.levels or 2)


def _if_taken(name: str, f: Callable[[], Iterable[Finding]]) -> list[Finding]:
    return _run(name, f)


def _continuous(model: GenerativeModel, x: Tensor) -> Iterator[list[Finding]]:
    wide = copy.deepcopy(model).double()

    def checks() -> Iterator[Finding]:
        yield continuous.integrates_to_one(wide, model.num_dims)  # pyright: ignore
        yield continuous.samples_follow_density(wide)
        if isinstance(getattr(wide, "bijection", None), Bijection):
            yield from _bijection(wide, x[:64])
            yield flows.change_of_variables(wide, x[:8])  # pyright: ignore
        yield contract.gradients_are_those_of_the_loss(wide, x[:8].double())

    yield _run("densities", checks)
