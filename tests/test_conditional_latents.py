"""Conditional flows, VAEs and autoencoders: what must hold of labels, whatever the parameters are."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.evaluation import class_log_posterior, importance_weighted_bound
from gdl.families.base import GenerativeModel
from gdl.families.latent import LatentModel
from gdl.models import NICE, VAE, Autoencoder, BetaTCVAE, FactorVAE, Gaussian, Glow, RealNVP
from gdl.nn.conv import ConvDecoder, ConvEncoder
from gdl.nn.mlp import MLPDecoder, MLPEncoder
from gdl.noise import seed_noise

SHAPE, LEVELS, CLASSES, N = (1, 4, 4), 5, 3, 12
CONV = {
    "encoder": lambda s, n: ConvEncoder(s, n, channels=4),
    "decoder": lambda n, s: ConvDecoder(n, s, channels=4),
}
MLP = {
    "encoder": lambda s, n: MLPEncoder(s, n, hidden=[16]),
    "decoder": lambda n, s: MLPDecoder(n, s, hidden=[16]),
}
MODELS: dict[str, Callable[..., LatentModel]] = {
    "nice": lambda **o: NICE(SHAPE, LEVELS, hidden=[16], **o),
    "realnvp": lambda **o: RealNVP(SHAPE, LEVELS, width=4, blocks=1, **o),
    "glow": lambda **o: Glow(SHAPE, LEVELS, depth=1, width=8, **o),
    "gaussian": lambda **o: Gaussian((2,), None, **o),
    "nice_2d": lambda **o: NICE((2,), None, hidden=[16], **o),
    "realnvp_1d": lambda **o: RealNVP((1,), None, num_couplings=2, coupling="mixture", **o),
    "vae": lambda **o: VAE(SHAPE, LEVELS, 3, **MLP, **o),
    "beta_vae": lambda **o: VAE(SHAPE, LEVELS, 3, beta=4.0, **MLP, **o),
    "conv_vae": lambda **o: VAE(SHAPE, LEVELS, 3, **CONV, **o),
    "beta_tcvae": lambda **o: BetaTCVAE(SHAPE, LEVELS, 3, **MLP, **o),
    "factor_vae": lambda **o: FactorVAE(SHAPE, LEVELS, 3, discriminator=[16], **MLP, **o),
    "iwae": lambda **o: VAE(SHAPE, LEVELS, 3, num_importance_samples=3, **MLP, **o),
    "ae": lambda **o: Autoencoder(SHAPE, LEVELS, 3, **MLP, **o),
    "conv_ae": lambda **o: Autoencoder(SHAPE, LEVELS, 3, **CONV, **o),
}
each = pytest.mark.parametrize("name", MODELS)
FLOWS = ("gaussian", "nice", "realnvp", "glow", "nice_2d", "realnvp_1d")
DENSITIES = [name for name in MODELS if "ae" not in name or "vae" in name]
LABELS = torch.arange(N) % CLASSES
PER_LABEL = ("class_prior", "label_input", "label_code", "log_class_prior")
"""Beginnings of the names of what has a row per class."""


def data(name: str, n: int = N) -> Tensor:
    g = torch.Generator().manual_seed(0)
    shape = MODELS[name]().shape
    if len(shape) == 1:
        return torch.randn(n, *shape, generator=g)
    return torch.randint(LEVELS, (n, *shape), generator=g, dtype=torch.uint8)


@torch.no_grad()
def build(name: str, moved: bool = True, seed: int = 0, **options: Any) -> LatentModel:
    """Return a conditional model in float64; `moved` away from where training starts."""
    torch.manual_seed(seed)
    options = {"num_classes": CLASSES, **options}
    model = MODELS[name](**options)
    if isinstance(model, NICE | RealNVP | Glow | Gaussian):
        model.initialize(data(name, 50))
    if moved:
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
        if options["num_classes"]:
            for key, table in model.named_parameters():
                if key.startswith(PER_LABEL):
                    table.add_(0.5 * torch.randn_like(table))
            model.log_class_prior.copy_(torch.randn(options["num_classes"]).log_softmax(0))
    return model.double().eval()


def seeded(function: Callable[[], Any]) -> Any:
    torch.manual_seed(3)
    with torch.no_grad():
        return function()


def loss(model: GenerativeModel, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
    return seeded(lambda: model.loss(x) if y is None else model.loss(x, y))


# ---- theorems


@each
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_permuted_labels_are_permuted_parameters(name: str, dropout: float) -> None:
    model, x = build(name, label_dropout=dropout), data(name)
    other = build(name, label_dropout=dropout)
    to = torch.tensor([2, 0, 1])  # the new label of each class
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for key, table in state.items():
        if key.startswith(PER_LABEL):
            table[to] = model.state_dict()[key][:CLASSES]
    other.load_state_dict(state)
    found, expected = loss(other, x, to[LABELS]), loss(model, x, LABELS)
    for term in expected:
        torch.testing.assert_close(found[term], expected[term])
    assert not torch.allclose(loss(other, x, LABELS)["loss"], expected["loss"])
    if name in DENSITIES and not dropout and name in FLOWS:  # draws of a VAE come class by class
        torch.testing.assert_close(loss(other, x)["nll"], loss(model, x)["nll"])
    for label in (None, 1) if dropout else (1,):
        new = None if label is None else int(to[label])
        if hasattr(model, "sample"):
            torch.testing.assert_close(other.sample(5, label=new), model.sample(5, label=label))


@each
def test_a_model_of_one_class_is_the_unconditional_one(name: str) -> None:
    one, x = build(name, moved=False, num_classes=1), data(name)
    plain = build(name, num_classes=0)  # moved, so that nothing is equal by chance
    state = one.state_dict()
    with torch.no_grad():
        for key, value in plain.state_dict().items():
            to = state[key]
            if to.shape != value.shape:  # the decoder's first layer: the code of the label is new
                to.zero_()
                to = to[:, : value.shape[1]]
            to.copy_(value)
    expected = loss(plain, x)
    for y in (torch.zeros(N, dtype=torch.long), torch.full((N,), -1), None):
        if name in DENSITIES or (y is not None and y.max() >= 0):
            found = loss(one, x, y)
            for term in expected:
                torch.testing.assert_close(found[term], expected[term])


@pytest.mark.parametrize("name", FLOWS)
def test_a_new_conditional_flow_is_the_unconditional_one(name: str) -> None:
    x, new, plain = data(name), build(name, moved=False), build(name, False, num_classes=0)
    expected = loss(plain, x)["nll"]
    for y in (LABELS, None):
        torch.testing.assert_close(loss(new, x, y)["nll"], expected)
    for label in (None, 2):
        torch.testing.assert_close(new.sample(5, label=label), plain.sample(5))


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("name", DENSITIES)
def test_the_marginal_is_the_mixture(name: str, k: int) -> None:
    model, x = build(name), data(name)
    each = seeded(lambda: model.class_nll(x, k=k))
    assert each.shape == (N, CLASSES)
    marginal = -(model.log_class_prior - each).logsumexp(1)
    torch.testing.assert_close(seeded(lambda: model.nll(x, k=k)), marginal)
    if name in FLOWS:
        given = seeded(lambda: model.nll(x, LABELS, k=k))
        torch.testing.assert_close(given, each.gather(1, LABELS[:, None])[:, 0])
    bayes = seeded(lambda: class_log_posterior(model, [x], k=k))
    assert bayes.shape == (N, CLASSES)
    torch.testing.assert_close(bayes.exp().sum(1), torch.ones(N).double())


@pytest.mark.parametrize("name", [name for name in DENSITIES if name not in FLOWS])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@torch.no_grad()
def test_the_measured_bound_without_labels_is_that_of_the_mixture(
    name: str, dropout: float
) -> None:
    model, x = build(name, label_dropout=dropout), data(name)
    bound, effective = importance_weighted_bound(model, [x], 5)
    seed_noise(model.device, "iwae", 0, 0)
    torch.testing.assert_close(bound, model.nll(x, k=5))
    draws = 5 if dropout else 5 * CLASSES
    assert ((effective >= 1) & (effective <= draws)).all()


@pytest.mark.parametrize("name", DENSITIES)
def test_some_unknown_labels_are_summed_over_and_others_not(name: str) -> None:
    model, x = build(name), data(name)
    some = torch.where(LABELS == 1, -1, LABELS)
    found, unknown = loss(model, x, some), loss(model, x)
    for term, values in found.items():
        torch.testing.assert_close(values[some < 0], unknown[term][some < 0])
    if "rate" in found:
        torch.testing.assert_close(found["elbo"], -(found["rate"] + found["distortion"]))
        if name != "iwae":
            torch.testing.assert_close(found["nll"], found["rate"] + found["distortion"])
        if name == "beta_vae":
            weighted = found["distortion"] + 4 * found["rate"]
            torch.testing.assert_close(found["loss"], weighted)
    if name in FLOWS:
        known = loss(model, x, LABELS)["nll"]
        torch.testing.assert_close(found["nll"][some >= 0], known[some >= 0])


@pytest.mark.parametrize("name", DENSITIES)
def test_a_class_without_images_changes_nothing_and_is_not_a_number_nowhere(name: str) -> None:
    model, x = build(name), data(name)
    model.log_class_prior[1] = -math.inf
    model.train()
    found = model.loss(x)
    found["loss"].mean().backward()
    assert all(t.isfinite().all() for t in found.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert class_log_posterior(model.eval(), [x])[:, 1].exp().max() == 0


@pytest.mark.parametrize("y", [0, 1, 2, None])
def test_conditional_densities_integrate_to_one(y: int | None) -> None:
    line, plane = build("realnvp_1d"), build("nice_2d")
    x = torch.linspace(-30, 30, 20_001).double()[:, None]
    side = torch.linspace(-40, 40, 401).double()
    for model, grid, cell in (
        (line, x, 60 / 20_000),
        (plane, torch.cartesian_prod(side, side), 0.2**2),
    ):
        label = None if y is None else torch.full((len(grid),), y)
        with torch.no_grad():
            mass = (-model.nll(grid, label)).exp().sum() * cell
        assert float(mass) == pytest.approx(1, abs=2e-3)


@torch.no_grad()
def test_the_class_posterior_of_gaussians_is_the_formula() -> None:
    model = build("nice_2d", prior="normal", moved=False)
    prior: Any = model.class_prior
    prior.mean.copy_(torch.tensor([[0.0, 0.0], [2.0, 1.0], [-1.0, 3.0]]))
    prior.raw_log_scale.copy_(torch.tensor([[0.0, 0.0], [0.5, -0.5], [0.3, 0.3]]))
    for p in model.bijection.steps[2].parameters():
        p.zero_()  # the couplings; what is left reorders and scales
    model.log_class_prior.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
    x = 3 * data("nice_2d", 100).double()
    std = (-model.bijection.steps[3].log_scale).exp()
    log_joint = []
    for y, weight in enumerate((0.5, 0.3, 0.2)):
        scale = (4 * (prior.raw_log_scale[y] / 4).tanh()).exp()
        gauss = torch.distributions.Normal(prior.mean[y] * std, scale * std)
        log_joint.append(math.log(weight) + gauss.log_prob(x).sum(1))
    expected = torch.stack(log_joint, 1).log_softmax(1)
    torch.testing.assert_close(class_log_posterior(model, x.split(30)), expected)


# ---- samples


@pytest.mark.parametrize("name", DENSITIES)
def test_sample_k_depends_on_seed_label_and_k_only(name: str) -> None:
    model = build(name)
    labels = torch.arange(130) % CLASSES
    many = model.sample(130, label=labels, seed=4)
    torch.testing.assert_close(model.sample(3, label=labels[:3], seed=4), many[:3])
    alone = model.sample(130, label=2, seed=4)
    torch.testing.assert_close(alone[labels == 2], many[labels == 2])
    assert not torch.equal(alone[labels == 0], many[labels == 0])
    drawn: list[int] = []
    draw = model.drawn_labels
    model.drawn_labels = lambda y, indices, seed: drawn.extend(indices) or draw(y, indices, seed)
    free = model.sample(130, seed=4)
    assert drawn == list(range(130)), "each label is drawn by the sample's own noise"
    torch.testing.assert_close(model.sample(50, seed=4), free[:50])


@torch.no_grad()
def test_samples_of_a_label_follow_its_density_and_free_ones_the_mixture() -> None:
    model = build("realnvp_1d")
    x = torch.linspace(-40, 40, 20_001).double()[:, None]
    for label in (0, 2, None):
        y = None if label is None else torch.full((len(x),), label)
        cdf = (-model.nll(x, y)).exp().cumsum(0) * (80 / 20_000)
        drawn = model.sample(1000, label=label)[:, 0]
        # Kolmogorov's distance of 1,000 draws is above 0.062 once in 1,000
        u = cdf[((drawn + 40) / (80 / 20_000)).long().clamp(0, 20_000)].sort().values
        assert (u - torch.linspace(0, 1, 1000)).abs().max() < 0.062


@pytest.mark.parametrize("name", DENSITIES)
@pytest.mark.parametrize("label", [CLASSES, -2, 1.5, "three", [0, 1]])
def test_a_label_that_is_none_is_refused(name: str, label: Any) -> None:
    with pytest.raises((GdlError, TypeError, ValueError)):
        build(name).sample(3, label=label)


# ---- latents


@each
def test_latents_of_conditional_models_come_back(name: str) -> None:
    model, x = build(name), data(name)
    with torch.no_grad():
        z = model.encode(x, LABELS)
        assert z.shape == (N, *model.latent_shape)
        y = model.reconstruct(x, LABELS)
        torch.testing.assert_close(y, model.decode(z, LABELS))
        if name in FLOWS:
            torch.testing.assert_close(y, x.double())
            torch.testing.assert_close(model.encode(x), z)
            return
        assert not torch.allclose(model.decode(z, LABELS), model.decode(z, LABELS.flip(0)))
        for use in (lambda: model.encode(x), lambda: model.decode(z, torch.full((N,), -1))):
            with pytest.raises(GdlError, match=r"needs the label of each image.*label_dropout"):
                use()
        free = build(name, label_dropout=0.1)
        torch.testing.assert_close(free.encode(x), free.encode(x, torch.full((N,), -1)))


@each
def test_gradients_reach_the_parameters_of_every_class(name: str) -> None:
    model, x = build(name, label_dropout=0.3).train(), data(name)
    y = torch.where(torch.arange(N) < 3, -1, LABELS)
    model.loss(x, y)["loss"].sum().backward()
    for key, p in model.named_parameters():
        if key.startswith(PER_LABEL):
            assert (p.grad.flatten(1).abs().max(1).values > 0).all(), key
