"""The checks of autoregressive models, of flows and of latent-variable models."""

import copy
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from gdl.audit import bounds, causality, enumeration, flows, learning
from gdl.audit.finding import FAILED, Finding, at_most
from gdl.audit.subjects import all_images, perturb, random_images, rebuilt
from gdl.audit.targets import targets_sum_to_one
from gdl.capabilities import HasImportanceWeights, HasPosterior, InitializesFromData
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.base import GenerativeModel
from gdl.flows.base import Bijection

__all__ = ["checks_of_a_bijection", "checks_of_the_family", "run_check"]


def run_check(name: str, f: Callable[[], Finding | Iterable[Finding]]) -> list[Finding]:
    """Return the findings of a check; an error in it is one, too."""
    try:
        found = f()
        return [found] if isinstance(found, Finding) else list(found)
    except Exception as e:
        text = " ".join(f"{type(e).__name__}: {e}".split())[:200]
        return [Finding(name, "the check", verdict=FAILED, reason=f"it ends with {text}")]


def checks_of_the_family(model: GenerativeModel) -> Iterator[list[Finding]]:
    """Yield the findings about what a model of a family is built of, each list of one check."""
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

    What the last one raises is raised where it takes none.
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
        break
    perturb(made, 0.3)  # pyright: ignore[reportPossiblyUnboundVariable]
    return made.double().eval(), x  # pyright: ignore[reportPossiblyUnboundVariable]


def _autoregressive(model: AutoregressiveModel) -> Iterator[list[Finding]]:
    levels = min(model.levels or 2, 4)
    if model.ends is not None:
        yield run_check("targets", lambda: targets_sum_to_one(model))
    for shapes in ([((1, 3, 4), levels), ((1, 3, 4), 2)], [((3, 2, 2), levels), ((3, 2, 2), 2)]):

        def checks(shapes: list = shapes) -> Iterator[Finding]:
            made, _ = _small(model, *shapes, width=64)
            where = f"{'x'.join(map(str, made.shape))} of {made.levels} levels"
            yield causality.depends_on_earlier_only(made, tries=4).of(where)  # pyright: ignore
            yield causality.fast_sampler_is_the_naive_one(made).of(where)  # pyright: ignore

        yield run_check("causality", checks)
    yield run_check("derivative", lambda: _derivative(model))


def _derivative(model: GenerativeModel) -> Iterator[Finding]:
    made, x = _small(model, ((1, 4, 4), model.levels or 2), (model.shape, model.levels or 2))
    yield learning.gradients_are_those_of_the_loss(made, x[:8])


def _flow(model: GenerativeModel) -> Iterator[list[Finding]]:
    levels = model.levels or 2

    def checks() -> Iterator[Finding]:
        made, x = _small(model, ((1, 4, 4), levels), ((3, 2, 2), levels), (model.shape, levels))
        if getattr(made, "dequantize", None) is not None:
            yield flows.dequantizes(made.dequantize, x[:4])  # pyright: ignore
        yield from checks_of_a_bijection(made, x)
        yield flows.change_of_variables(made, x[:8])  # pyright: ignore
        if getattr(made, "dequantize", None) is not None:
            y = made.dequantize.inverse(made.sample_continuous(20, seed=1))  # pyright: ignore
            error = float((y.double() - made.sample(20, seed=1).double()).abs().max())  # pyright: ignore
            reason = "sample is not the rounded sample_continuous"
            yield at_most("samples of a flow", "|difference| in levels", error, 0.0, reason)

    yield run_check("log-determinant", checks)
    yield run_check("derivative", lambda: _derivative(model))


def checks_of_a_bijection(made: GenerativeModel, x: Tensor) -> Iterator[Finding]:
    """Yield the findings about the maps of a flow in float64, and about its inverse in float32."""
    y = x[:2].double() if made.levels is None else made._continuous(x[:2])[0]  # pyright: ignore
    parts = flows.inner_bijections(made.bijection, y)  # pyright: ignore
    if sum(p.numel() for p in made.parameters()) > 5_000_000:
        parts = parts[-1:]
    yield flows.log_det_is_that_of_the_jacobian(parts)
    yield flows.inverts(parts, 1e-8)
    single = copy.deepcopy(made).float()
    with torch.no_grad():
        back = single.decode(single.encode(x))  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    error = float((back.double() - x.double()).abs().max())
    reason = (
        "decode(encode(x)) is not x in float32: scales are too extreme, or a step is not undone"
    )
    what = "|decode(encode(x)) - x| in float32, in levels of a pixel"
    yield at_most("inverse", what, error, 0.02 * max(1, (made.levels or 1) / 17), reason)
    yield flows.prior_is_that_of_its_samples(made.prior, made.num_dims)  # pyright: ignore


def _latent(model: GenerativeModel) -> Iterator[list[Finding]]:
    def checks() -> Iterator[Finding]:
        few = {"latent_dim": 2} if "latent_dim" in model._arguments else {}
        made, x = _small(
            rebuilt(model, small=True, **few),
            ((1, 2, 3), 2),
            ((1, 2, 2), min(model.levels or 2, 4)),
            (model.shape, model.levels or 2),
        )
        perturb(made, 0.5, seed=2)
        yield from bounds.bounds_are_in_order(made, x[:8])
        if isinstance(made, HasPosterior):
            yield bounds.rate_is_the_divergence(made, x[:8])
            if (
                found := bounds.evidence(made, all_images(made.shape, made.levels or 2))
            ) is not None:
                nll = -found[0]
                yield enumeration.sums_to_one(nll, made.shape, made.levels or 2, 1e-5).of(
                    "by quadrature"
                )
        if not str(made.nll_kind).startswith("iwae"):  # whose bound is no sum of the two
            yield bounds.terms_add_up(made.loss(x[:8]))

    yield run_check("bounds", checks)
    yield run_check("derivative", lambda: _derivative(model))
