"""What holds for every model, over a table of models, networks and data, built from conf/."""

import copy
import functools
import io
from typing import Any

import hydra
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from gdl.commands.conf import CONF, register_resolvers
from gdl.distributions import DiscretizedGaussian, DiscretizedLogisticMixture, Likelihood
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel
from gdl.models.vae import VAE
from gdl.training.run import build_model

MODELS = {
    "ae": ["model=ae"],
    "denoising_ae": ["model=denoising_ae", "model.network.channels=8"],
    "vae": ["model=vae"],
    "beta_vae": ["model=beta_vae"],
    "beta_tcvae": ["model=beta_tcvae"],
    "factor_vae": ["model=factor_vae", "model.discriminator=[50,50]"],
    "iwae": ["model=vae", "model.num_importance_samples=5"],
    "gaussian": ["model=gaussian"],
    "nice": ["model=nice", "model.hidden=[64,64]"],
    "realnvp": ["model=realnvp", "model.width=8", "model.blocks=1"],
    "glow": ["model=glow_tiny", "model.depth=2", "model.width=16"],
    "fvsbn": ["model=fvsbn"],
    "made": ["model=made", "model.hidden=[64]"],
    "nade": ["model=nade", "model.hidden=20"],
    "pixelcnn": ["model=pixelcnn", "model.width=8", "model.layers=2", "model.hidden=8"],
    "pixelcnn_pp": ["model=pixelcnn_pp", "model.width=8", "model.resolutions=2"],
    "transformer": ["model=transformer", "model.width=8", "model.blocks=2"],
}
AUTOENCODERS = ("ae", "vae", "beta_vae", "beta_tcvae", "factor_vae", "iwae")
FLOWS = ("nice", "realnvp", "glow")
AUTOREGRESSIVE = ("fvsbn", "made", "nade", "pixelcnn", "pixelcnn_pp", "transformer")
NETWORKS = {
    "mlp": ["network@model.network=mlp"],
    "conv": ["network@model.network=conv", "model.encoder.channels=8"],
    "patches": [
        "network@model.network=conv",
        "model.encoder.channels=8",
        "model.encoder.patch=2",
    ],
}
DATA = {  # shape and levels
    "digits": ((1, 8, 8), 17),
    "binary": ((1, 28, 28), 2),
    "colour": ((3, 32, 32), 256),
    "large": ((3, 64, 64), 256),
    "oblong": ((3, 20, 28), 256),
}
LIKELIHOODS = {
    "logistic": ["likelihood@model.likelihood=discretized_logistic"],
    "mixture": ["likelihood@model.likelihood=discretized_logistic_mixture"],
    "optimal": ["likelihood@model.likelihood=gaussian"],
    "learned": ["likelihood@model.likelihood=gaussian", "model.likelihood.variance=learned"],
}
each_model = pytest.mark.parametrize("model_name", MODELS)
each_network = pytest.mark.parametrize("network", NETWORKS)
each_pair = pytest.mark.parametrize(
    ("model_name", "network"),
    [*((m, n) for m in AUTOENCODERS for n in NETWORKS), *((m, "own") for m in FLOWS)],
)
each_data = pytest.mark.parametrize("data", DATA)
each_autoregressive = pytest.mark.parametrize("model_name", AUTOREGRESSIVE)


@functools.cache
def compose(overrides: tuple[str, ...]) -> DictConfig:
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("train", [*overrides])


def build(
    model_name: str, network: str = "mlp", data: str = "digits", *extra: str
) -> GenerativeModel:
    network_choice = NETWORKS[network] if model_name in AUTOENCODERS else []
    cfg = compose((*MODELS[model_name], *network_choice, *extra))
    cfg.data.shape, cfg.data.levels = DATA[data]
    torch.manual_seed(0)
    model = build_model(cfg.model)
    if isinstance(model, FlowModel):
        model.initialize(images(data, 8))
    return model


def images(data: str, n: int = 3) -> Tensor:
    """Return (n, C, H, W): bright blobs on a dark ground, a different place for each image."""
    (c, h, w), levels = DATA[data]
    g = torch.Generator().manual_seed(0)
    row, col = (torch.rand(n, c, 1, 1, generator=g) for _ in range(2))
    grid = torch.linspace(0, 1, h).view(1, 1, h, 1), torch.linspace(0, 1, w).view(1, 1, 1, w)
    y = torch.exp(-((grid[0] - row).square() + (grid[1] - col).square()) / 0.05)
    return (y * (levels - 1)).round().to(torch.uint8)


def seeded_loss(model: GenerativeModel, x: Tensor, seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return model.loss(x)


def check_step(model: GenerativeModel, x: Tensor) -> None:
    """Check the terms of a training step and that the step reaches every parameter."""
    with torch.no_grad():  # zero-initialised layers hide the layers below them
        for p in model.parameters():
            p.add_(0.01 * torch.randn_like(p))
    before = x.clone()
    terms = model.loss(x)
    assert torch.equal(x, before), "the batch was written to"
    for name, term in terms.items():
        assert term.shape == (len(x),), name
        assert term.dtype == model.dtype, name
        assert term.isfinite().all(), name
    terms["loss"].mean().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.abs().max() > 0, name


@each_data
@each_pair
def test_a_step_on_every_kind_of_image(model_name: str, network: str, data: str) -> None:
    model = build(model_name, network, data)
    assert len(repr(model)) > 100
    check_step(model, images(data))


@pytest.mark.parametrize("data", ["digits", "binary"])
@each_autoregressive
def test_a_step_of_an_autoregressive_model(model_name: str, data: str) -> None:
    model = build(model_name, data=data)
    check_step(model, images(data))
    check_step(build(model_name, data=data).double(), images(data))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@each_network
@pytest.mark.parametrize("model_name", ["vae", "iwae"])
def test_a_step_with_every_likelihood(model_name: str, network: str, likelihood: str) -> None:
    model = build(model_name, network, "oblong", *LIKELIHOODS[likelihood])
    check_step(model, images("oblong"))


def test_likelihoods_are_those_of_the_configuration() -> None:
    kinds = {
        name: build("vae", "mlp", "oblong", *overrides).likelihood
        for name, overrides in LIKELIHOODS.items()
    }
    assert isinstance(kinds["mixture"], DiscretizedLogisticMixture)
    assert isinstance(kinds["learned"], DiscretizedGaussian)
    assert len(list(kinds["learned"].parameters())) == 1
    assert len(list(kinds["optimal"].parameters())) == 0


def test_bernoulli_on_grey_values_names_the_fix() -> None:
    with pytest.raises(Exception, match="likelihood=discretized_logistic") as e:
        build("vae", "mlp", "digits", "likelihood@model.likelihood=bernoulli")
    assert isinstance(e.value.__cause__, GdlError)


def test_patches_that_do_not_divide_the_image_name_the_fix() -> None:
    with pytest.raises(Exception, match=r"model\.encoder\.patch=1") as e:
        build("vae", "conv", "digits", "model.encoder.patch=3")
    assert isinstance(e.value.__cause__, GdlError)


def decrease(model: GenerativeModel, data: str) -> float:
    """Return loss after 50 steps / loss before, by the configured optimizer on 8 images."""
    x = images(data, 8)
    optimizer = model._optimizer(model.parameters())
    start = float(seeded_loss(model, x)["loss"].detach().mean())
    for step in range(50):
        loss = seeded_loss(model, x, step)["loss"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(seeded_loss(model, x)["loss"].detach().mean()) / start


@pytest.mark.parametrize(
    ("model_name", "network", "data", "factor", "extra"),
    [
        ("ae", "mlp", "digits", 0.3, []),
        ("ae", "conv", "binary", 0.6, []),
        ("vae", "mlp", "digits", 0.8, []),
        ("vae", "mlp", "binary", 0.6, []),
        ("vae", "conv", "digits", 0.85, []),
        ("beta_vae", "mlp", "digits", 0.8, []),
        ("iwae", "mlp", "binary", 0.6, []),
        ("vae", "mlp", "digits", 0.8, LIKELIHOODS["mixture"]),
        ("vae", "mlp", "oblong", 0.9, LIKELIHOODS["optimal"]),
        ("nice", "own", "digits", 0.92, ["model.optimizer.lr=1e-2"]),
        ("realnvp", "own", "digits", 0.6, []),
        ("glow", "own", "digits", 0.92, []),
        ("fvsbn", "own", "digits", 0.9, []),
        ("made", "own", "digits", 0.9, []),
        ("nade", "own", "digits", 0.9, []),
        ("pixelcnn", "own", "digits", 0.9, []),
        ("pixelcnn_pp", "own", "digits", 0.9, []),
        ("transformer", "own", "digits", 0.9, []),
    ],
)
def test_fifty_steps_lower_the_loss(
    model_name: str, network: str, data: str, factor: float, extra: list[str]
) -> None:
    assert decrease(build(model_name, network, data, *extra), data) < factor


@pytest.mark.parametrize(
    ("model_name", "network"), [*each_pair.args[1], *((m, "own") for m in AUTOREGRESSIVE)]
)
def test_a_saved_model_gives_the_same_terms(model_name: str, network: str) -> None:
    model, x = build(model_name, network), images("digits")
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.01 * torch.randn_like(p))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = build(model_name, network)
    assert not torch.equal(seeded_loss(other, x)["loss"], seeded_loss(model, x)["loss"])
    other.load_state_dict(torch.load(file, weights_only=True))
    a, b = seeded_loss(model.eval(), x), seeded_loss(other.eval(), x)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    ("model_name", "extra"), [*[(m, []) for m in MODELS], ("vae", LIKELIHOODS["optimal"])]
)
@torch.no_grad()
def test_terms_are_the_same_at_all_stages(model_name: str, extra: list[str]) -> None:
    model, x = build(model_name, "mlp", "digits", *extra).eval(), images("digits")
    model._seed = lambda *key: torch.manual_seed(1)  # each stage has noise of its own
    found = [stage_terms(model, stage, x) for stage in ("train", "val", "test")]
    expected = {k: float(v.double().mean()) for k, v in seeded_loss(model, x).items()}
    assert found[0] == found[1] == found[2]
    assert found[0] == pytest.approx(expected)


def stage_terms(model: GenerativeModel, stage: str, x: Tensor, batch: int = 0) -> dict[str, float]:
    steps = {
        "train": model.training_step,
        "val": model.validation_step,
        "test": model.test_step,
    }
    steps[stage](x, batch)
    return model._sums[stage].pop()


@torch.no_grad()
def test_noise_of_a_step_depends_on_stage_batch_and_seed_only() -> None:
    model, x = build("vae").eval(), images("digits")
    first = {}
    for seed in (0, 1):
        model.noise_seed = seed
        for stage in ("train", "val", "test"):
            for batch in (0, 1):
                torch.manual_seed(seed + batch)
                first[seed, stage, batch] = stage_terms(model, stage, x, batch)
    assert len({t["loss"] for t in first.values()}) == len(first)
    model.noise_seed = 0
    torch.manual_seed(99)  # something else drew random numbers
    for stage in ("test", "val", "train"):
        assert stage_terms(model, stage, x, 1) == first[0, stage, 1]


@each_model
def test_two_evaluations_with_one_seed_agree(model_name: str) -> None:
    model, x = build(model_name).eval(), images("digits")
    a, b, c = seeded_loss(model, x), seeded_loss(model, x), seeded_loss(model, x, 2)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert torch.equal(a["loss"], c["loss"]) == (model_name in ("ae", *AUTOREGRESSIVE))


def test_an_autoencoder_reports_no_density() -> None:
    model = build("ae")
    terms = model.loss(images("digits"))
    assert set(terms) == {"loss", "mse"}
    assert model.nll_kind is None
    assert not hasattr(model, "sample")
    assert not hasattr(model, "log_prob")
    torch.testing.assert_close(terms["mse"] * 64, terms["loss"])
    x = images("digits")
    y = model.decode(model.encode(x))
    inside = (y - x).square().flatten(1).sum(1) / 16**2  # where decode does not clip
    assert (inside <= terms["loss"] + 1e-5).all()


def test_beta_is_that_of_the_configuration() -> None:
    x = images("digits")
    plain = seeded_loss(build("vae"), x)
    for beta in (0.5, 4):
        options = [f"model.beta={beta}", "model.kl_warmup_steps=0"]
        weighted = seeded_loss(build("beta_vae", "mlp", "digits", *options), x)
        assert torch.equal(plain["nll"], weighted["nll"])
        expected = weighted["distortion"] + beta * weighted["rate"]
        torch.testing.assert_close(weighted["loss"], expected)


@each_pair
def test_double_precision(model_name: str, network: str) -> None:
    model = build(model_name, network, "oblong").double()
    x = images("oblong")
    check_step(model, x)
    z = model.encode(x)
    assert z.dtype == model.decode(z).dtype == torch.float64


@pytest.mark.parametrize("data", ["digits", "oblong"])
@each_pair
@torch.no_grad()
def test_latents_and_back(model_name: str, network: str, data: str) -> None:
    model, x = build(model_name, network, data).eval(), images(data)
    z = model.encode(x)
    assert z.shape == (3, *model.latent_shape)
    y = model.decode(z)
    assert y.shape == x.shape
    assert ((y >= 0) & (y <= model.levels - 1)).all()
    assert torch.equal(y, model.decode(model.encode(x)))
    # an image does not know the rest of its batch
    torch.testing.assert_close(model.encode(x[1:2]), z[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("data", DATA)
@torch.no_grad()
def test_samples_are_integers_in_range(data: str) -> None:
    model = build("vae", "conv", data)
    x = model.sample(5)
    assert x.shape == (5, *model.shape)
    assert x.dtype == torch.uint8
    assert int(x.max()) < model.levels
    assert torch.equal(x, model.sample(5))


@each_network
@pytest.mark.parametrize("model_name", ["vae", "iwae"])
@pytest.mark.parametrize("likelihood", ["logistic", "learned"])
def test_low_precision_stays_in_the_networks(
    model_name: str, network: str, likelihood: str
) -> None:
    model = build(model_name, network, "oblong", *LIKELIHOODS[likelihood]).eval()
    x = images("oblong")
    model.initialize(x)
    full = seeded_loss(model, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = seeded_loss(model, x)
    for name, term in low.items():
        assert term.dtype == torch.float32, name
    torch.testing.assert_close(low["nll"], full["nll"], rtol=0.01, atol=0)
    assert not torch.equal(low["nll"], full["nll"])
    low["loss"].mean().backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())


class Watched(Likelihood):
    """Notes the type that the parameters arrive in and that arithmetic gives."""

    seen: set[torch.dtype]

    def __init__(self, shape: Any, levels: int) -> None:
        super().__init__(shape, levels)
        self.seen = set()

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        self.seen |= {params.dtype, (params.flatten(1)[..., :2] @ params.new_ones(2, 2)).dtype}
        return -(params - self._scaled(x, params)).square().flatten(-3).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        return self._unscaled(params)

    def draw(self, params: Tensor, noise: Tensor) -> Tensor:
        return self._to_level(params)

    def initial_params(self, x: Tensor) -> Tensor:
        return self._scaled(x, torch.empty(())).mean(0)


def test_the_likelihood_is_computed_in_full_precision() -> None:
    model = build("vae", "mlp", "digits")
    assert isinstance(model, VAE)
    model.likelihood = Watched(*DATA["digits"])
    model.decoder = torch.nn.Sequential(
        torch.nn.Linear(32, 64), torch.nn.Unflatten(-1, model.shape)
    )
    model.offset = torch.nn.Parameter(torch.zeros(model.shape))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.loss(images("digits"))
    assert model.likelihood.seen == {torch.float32}


def test_bits_per_dim() -> None:
    model = build("vae", "mlp", "oblong")
    nats = 3 * 20 * 28 * torch.tensor(256.0).log().item()
    assert model.bits_per_dim(nats) == pytest.approx(8)


def test_compiling_keeps_the_names_of_the_parameters() -> None:
    for model_name, network in (("vae", "mlp"), ("vae", "conv"), ("ae", "mlp")):
        model = build(model_name, network, "digits")
        keys, names = list(model.state_dict()), [n for n, _ in model.named_parameters()]
        model.compile_networks()
        assert list(model.state_dict()) == keys
        assert [n for n, _ in model.named_parameters()] == names


@pytest.mark.slow
def test_compiled_networks_compute_the_same() -> None:
    model, x = build("vae", "mlp", "digits"), images("digits")
    other = copy.deepcopy(model)
    other.compile_networks()
    a, b = seeded_loss(model, x), seeded_loss(other, x)
    torch.testing.assert_close(a, b)
