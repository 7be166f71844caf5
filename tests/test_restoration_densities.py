"""Densities restore images: their draws have the posterior that enumeration or a formula gives."""

import itertools

import pytest
import torch
from torch import Tensor

from gdl.corruptions import (
    Downsample,
    GaussianNoise,
    Grayscale,
    MissingPatch,
    MissingPixels,
    SaltAndPepper,
    Seen,
    compose,
)
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.models import FVSBN, MADE, NICE, VAE, Autoencoder, Gaussian, PixelCNNpp
from gdl.noise import SampleNoise
from gdl.restoration.autoregressive import ByConditionals
from gdl.restoration.bits import unknown_bits
from gdl.restoration.choice import restorer_for
from gdl.restoration.constraint import constraint_of
from gdl.restoration.families import families_picture
from gdl.restoration.flow import ByHamiltonian
from gdl.restoration.latent import ByGibbs
from gdl.restoration.particles import particles_given


def every_image(shape: tuple[int, ...], levels: int) -> Tensor:
    d = torch.Size(shape).numel()
    values = itertools.product(range(levels), repeat=d)
    return torch.tensor(list(values), dtype=torch.uint8).view(-1, *shape)


def shaken(model: GenerativeModel, by: float = 1.5) -> GenerativeModel:
    g = torch.Generator().manual_seed(0)
    model = model.double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(by * torch.randn(p.shape, generator=g, dtype=p.dtype))
    return model


def seen_of(x: Tensor, levels: int, known: Tensor, noisy: bool, sigma: float = 0.4) -> Seen:
    """What is left of one image: some pixels known, and of the others nothing, or noisy values."""
    y = x[None].double() / (levels - 1)
    g = torch.Generator().manual_seed(1)
    noise = sigma * torch.randn(y.shape, generator=g, dtype=y.dtype) * ~known if noisy else 0
    y = torch.where(known, y, y + noise if noisy else 0.5)
    names = ("gaussian_noise", "x") if noisy else ("missing_pixels",)
    hole = None if noisy else ~known[None]
    return Seen(tuple(x.shape), y, known[None], sigma if noisy else 0.0, names, hole=hole)


def posterior(log_p: Tensor, every: Tensor, seen: Seen, levels: int) -> Tensor:
    """Return p(x | what is seen) of every image."""
    pixels = every.double() / (levels - 1)
    known = seen.known_pixels
    agrees = ((pixels - seen.y).abs() < 1e-6) | ~known
    log_w = log_p.masked_fill(~agrees.flatten(1).all(1), -torch.inf)
    if seen.sigma:
        log_w = log_w - ((pixels - seen.y) / seen.sigma).square().mul(~known).flatten(1).sum(1) / 2
    return log_w.softmax(0)


def frequencies(drawn: Tensor, every: Tensor, levels: int) -> Tensor:
    x = (drawn.flatten(0, 1) * (levels - 1)).round().flatten(1).long()
    base = levels ** torch.arange(x.shape[1] - 1, -1, -1)
    assert (every.flatten(1).long() @ base).equal(torch.arange(len(every)))
    return torch.bincount(x @ base, minlength=len(every)).double() / len(x)


def many(seen: Seen, n: int) -> Seen:
    hole = None if seen.hole is None else seen.hole.expand(n, -1, -1, -1)
    y, known = (t.expand(n, -1, -1, -1) for t in (seen.y, seen.known))
    return Seen(seen.shape, y, known, seen.sigma, seen.names, hole=hole)


def far(drawn: Tensor, truth: Tensor, every: Tensor, levels: int) -> float:
    """Return the total variation between draws and the truth."""
    return float((frequencies(drawn, every, levels) - truth).abs().sum() / 2)


CONDITIONALS = {
    "FVSBN": (FVSBN, (1, 2, 3), 2, {}),
    "in columns": (FVSBN, (1, 2, 3), 2, {"order": "columns"}),
    "of classes": (FVSBN, (1, 2, 3), 2, {"num_classes": 2}),
    "a mixture over orders": (
        MADE,
        (1, 2, 3),
        2,
        {"num_masks": 2, "order": "random", "hidden": [8]},
    ),
    "of three levels": (MADE, (1, 2, 2), 3, {"hidden": [8]}),
    "channels together": (PixelCNNpp, (3, 2, 1), 2, {"width": 4}),
}

TELLING = {"FVSBN", "in columns", "a mixture over orders"}


@pytest.mark.parametrize("name", CONDITIONALS)
def test_particles_have_the_posterior(name: str) -> None:
    kind, shape, levels, options = CONDITIONALS[name]
    torch.manual_seed(0)
    model = shaken(kind(shape, levels, **options))
    every = every_image(shape, levels)
    with torch.no_grad():
        log_p = model.log_prob(every)
    known = torch.zeros(shape, dtype=torch.bool)
    known[..., -1, :] = True  # after all the others, and one of them is in the midst
    x = every[torch.arange(len(every)) % 7 == 3][len(every) // 20]
    seen = seen_of(x, levels, known, noisy=False)
    truth, n = posterior(log_p, every, seen, levels), 300 if name in TELLING else 100
    found = ByConditionals(model, particles=16)(many(seen, n), draws=2)
    assert far(found, truth, every, levels) < (0.08 if name in TELLING else 0.12)
    assert found.shape == (2, n, *shape)
    if name in TELLING:  # the case is not so easy that a wrong method passes
        careless = ByConditionals(model, particles=1)(many(seen, n), draws=2)
        assert far(careless, truth, every, levels) > 0.1


@pytest.mark.parametrize(
    "name",
    ["FVSBN", "of three levels", pytest.param("channels together", marks=pytest.mark.slow)],
)
def test_particles_have_the_posterior_under_noise(name: str) -> None:
    kind, shape, levels, options = CONDITIONALS[name]
    torch.manual_seed(0)
    model = shaken(kind(shape, levels, **options))
    every = every_image(shape, levels)
    with torch.no_grad():
        log_p = model.log_prob(every)
    known = torch.zeros(shape, dtype=torch.bool)
    known[:, -1, -1] = True
    seen = seen_of(every[len(every) // 3], levels, known, noisy=True)
    truth = posterior(log_p, every, seen, levels)
    found = ByConditionals(model, particles=32, stages=3)(many(seen, 300), draws=2)
    assert far(found, truth, every, levels) < 0.05
    if name in TELLING:
        careless = ByConditionals(model, particles=1)(many(seen, 300), draws=2)
        assert far(careless, truth, every, levels) > 0.1


def test_particles_estimate_the_probability_of_what_is_known() -> None:
    model, every = shaken(FVSBN((1, 2, 3), 2)), every_image((1, 2, 3), 2)
    known = torch.zeros(1, 2, 3, dtype=torch.bool)
    known[..., 1] = True
    x = every[[37]].expand(500, -1, -1, -1)
    found = particles_given(model, x, known.expand_as(x), 8, 4)
    with torch.no_grad():
        agrees = (every == every[37]) | ~known
        log_p = model.log_prob(every)[agrees.flatten(1).all(1)].logsumexp(0)
    error = found.log_seen.exp() / log_p.exp() - 1
    assert abs(float(error.mean())) < 4 * float(error.std()) / 500**0.5
    assert (found.effective <= 8).all()


def test_what_comes_first_is_completed_exactly_as_before() -> None:
    model = shaken(FVSBN((1, 2, 3), 2))
    x = every_image((1, 2, 3), 2)[[5, 40]]
    known = torch.zeros(1, 2, 3, dtype=torch.bool)
    known[:, 0] = True
    restorer = ByConditionals(model)
    seen = Seen((1, 2, 3), x.double(), known.expand_as(x), hole=~known.expand_as(x))
    drawn = restorer(seen, draws=3, seed=4, indices=[7, 9])
    assert "exact: the known" in restorer.note
    one = restorer(
        Seen((1, 2, 3), x[1:].double(), known[None], hole=~known[None]), seed=4, indices=[9]
    )
    assert torch.equal(
        one[0, 0], drawn[0, 1]
    )  # a draw depends on the seed, the index and its number


def vae_log_p(model: VAE, every: Tensor) -> Tensor:
    """Return log p(x) of every image, by a fine grid of z."""
    line = torch.linspace(-6, 6, 121, dtype=torch.float64)
    z = torch.cartesian_prod(line, line)[:, None]
    with torch.no_grad():
        log_px, log_pz = model.log_joint(every, z.expand(-1, len(every), -1))
    return (log_px + log_pz).logsumexp(0)


def small_vae(shape: tuple[int, ...], levels: int, by: float = 0.3) -> VAE:
    torch.manual_seed(0)
    network = {"encoder": _linear, "decoder": _linear_decoder}
    model = shaken(VAE(shape, levels, latent_dim=2, **network), by)
    assert isinstance(model, VAE)
    return model


class _Linear(torch.nn.Module):
    def __init__(self, i: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.map, self.shape, self.i = torch.nn.Linear(i, torch.Size(shape).numel()), shape, i

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1) if self.i != x.shape[-1] or len(self.shape) == 1 else x
        return self.map(x).unflatten(-1, self.shape)


def _linear(shape: tuple[int, ...], out: int) -> _Linear:
    return _Linear(torch.Size(shape).numel(), (out,))


def _linear_decoder(latents: int, shape: tuple[int, ...]) -> _Linear:
    return _Linear(latents, tuple(shape))


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(
    ("levels", "shape"),
    [(2, (1, 2, 2)), pytest.param(3, (2, 1, 2), marks=pytest.mark.slow)],
)
def test_gibbs_has_the_posterior(levels: int, shape: tuple[int, ...], noisy: bool) -> None:
    model, every = small_vae(shape, levels), every_image(shape, levels)
    known = torch.zeros(shape, dtype=torch.bool)
    known[..., -1, -1] = True
    seen = seen_of(every[1], levels, known, noisy)
    truth = posterior(vae_log_p(model, every), every, seen, levels)
    found = ByGibbs(model, 5, 30, 5)(many(seen, 500), draws=3)
    assert far(found, truth, every, levels) < 0.06
    if levels == 2:  # the case is not so easy that a wrong method passes
        pseudo = ByGibbs(model, 30, 0, 1)(many(seen, 500))
        assert far(pseudo, truth, every, levels) > 0.1


def gaussian(shape: tuple[int, ...], **options: int) -> Gaussian:
    g = torch.Generator().manual_seed(3)
    mix = torch.randn(4, 4, generator=g)
    rows = (128 + 12 * torch.randn(500, 4, generator=g) @ mix).clamp(0, 255)
    model = Gaussian(shape, 256, **options)
    model.initialize(rows.view(-1, *shape).to(torch.uint8))
    return model.double().eval()


@pytest.mark.parametrize("noisy", [False, True])
def test_hamiltonian_chains_of_a_gaussian_have_its_conditional(noisy: bool) -> None:
    model = gaussian((1, 2, 2))
    standardize, whiten = model.bijection.steps[1:]
    matrix = whiten._matrix() * (-standardize.log_std).exp()
    covariance = torch.linalg.inv(matrix.T @ matrix).detach()
    center = (standardize.mean + standardize.log_std.exp() * whiten.mean).detach()
    known = torch.tensor([[[False, False], [True, False]]])
    x = (center * 256).view(1, 2, 2).round().to(torch.uint8) + 20
    seen = seen_of(x, 256, known, noisy, sigma=0.1)
    # observation of v: known to within a cell, or with noise of a standard deviation in units of v
    variance = torch.full((4,), 1e9, dtype=torch.float64)
    if noisy:
        variance = torch.full((4,), (0.1 * 255 / 256) ** 2, dtype=torch.float64)
    variance[known.flatten()] = 1 / 12 / 256**2
    y = ((seen.y * 255 + 0.5) / 256).flatten()
    gain = covariance @ torch.linalg.inv(covariance + variance.diag())
    mean, left = center + gain @ (y - center), covariance - gain @ covariance
    restorer = ByHamiltonian(model, burn_in=30, thin=3, leapfrogs=3)
    drawn = restorer(many(seen, 100), draws=8).flatten(0, 1).double().flatten(1)
    v = (drawn * 255 + 0.5) / 256
    free, sd = ~known.flatten(), left.diagonal().sqrt()
    assert ((v.mean(0) - mean).abs()[free] < 5 * sd[free] / len(v) ** 0.5).all()
    correlation = ((v - mean).T @ (v - mean) / len(v))[free][:, free]
    assert torch.allclose(correlation, left[free][:, free], atol=0.15 * float(sd[free].max() ** 2))
    assert (drawn.view(-1, 1, 2, 2)[:, known] == x[known] / 255).all()
    assert 0.4 < sum(restorer.accepted) / len(restorer.accepted) < 0.95


@pytest.mark.parametrize("classes", [0, 2])
@pytest.mark.parametrize("noisy", [False, True])
def test_hamiltonian_chains_have_the_posterior(classes: int, noisy: bool) -> None:
    torch.manual_seed(0)
    model = NICE((1, 1, 2), 4, hidden=[8], num_classes=classes)
    model.initialize(torch.randint(0, 4, (64, 1, 1, 2), dtype=torch.uint8))
    model, every, fine = shaken(model, 0.3), every_image((1, 1, 2), 4), 40
    line = (torch.arange(4 * fine).double() + 0.5) / (4 * fine)
    v = torch.cartesian_prod(line, line).view(-1, 1, 1, 2)
    with torch.no_grad():
        log_p = model.log_density(v)
    known = torch.tensor([[[not noisy, False]]])
    seen = seen_of(every[6], 4, known, noisy, sigma=0.3)
    if noisy:  # the chain sees the continuous pixel
        gap = (seen.y - (v * 4 - 0.5) / 3) / 0.3
        log_p = log_p - gap.square().flatten(1).sum(1) / 2
    cell = (v * 4).long().flatten(1) @ torch.tensor([4, 1])
    log_cell = torch.stack([log_p[cell == i].logsumexp(0) for i in range(16)])
    truth = posterior(log_cell, every, Seen(seen.shape, seen.y, seen.known), 4)
    found = ByHamiltonian(model, 24, 3, leapfrogs=3)(many(seen, 100), draws=8)
    assert far(found, truth, every, 4) < 0.08


REFUSED = {
    "brightness": Grayscale(),
    "salt and pepper": SaltAndPepper(),
    "means of squares": Downsample(2),
    "noise, then means": compose([GaussianNoise(0.1), Downsample(2)]),
    "salt and pepper, then noise": compose([SaltAndPepper(), GaussianNoise(0.1)]),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", [FVSBN, VAE, NICE])
def test_what_a_density_cannot_condition_on_is_refused(name: str, kind: type) -> None:
    model = kind((3, 4, 4), 4, **({"hidden": [8]} if kind is NICE else {}))
    with pytest.raises(GdlError, match=r"cannot restore corruption=.*model=denoising_ae"):
        restorer_for(model, REFUSED[name])


def test_a_model_without_a_density_is_refused() -> None:
    with pytest.raises(GdlError, match=r"Autoencoder cannot restore.*model=denoising_ae"):
        restorer_for(Autoencoder((1, 4, 4), 4), MissingPatch())


ALLOWED = {
    "patch": MissingPatch(),
    "pixels": MissingPixels(0.3),
    "every other pixel": Downsample(2, "subsample"),
    "one channel": Grayscale(1),
    "noise": GaussianNoise(0.2),
    "a patch, then noise": compose([MissingPatch(), GaussianNoise(0.1)]),
    "noise, then a patch": compose([GaussianNoise(0.1), MissingPatch()]),
    "one channel of fewer pixels": compose([Downsample(2, "subsample"), Grayscale(0)]),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_known_and_noisy_pixels_are_those_of_the_image(name: str) -> None:
    x = torch.randint(0, 8, (3, 3, 4, 4), generator=torch.Generator().manual_seed(0)).byte()
    seen = ALLOWED[name](x / 7, SampleNoise(0, range(3)))
    given = constraint_of(seen, 8, torch.device("cpu"), "FVSBN")
    assert torch.equal(given.x[given.known], x[given.known])
    assert not (given.known & given.noisy).any()
    assert given.known.any() or given.noisy.any()
    if given.is_noisy:
        assert float((given.y - x / 7)[given.noisy].std()) == pytest.approx(seen.sigma, rel=0.4)
        assert "patch" not in name or not given.noisy.all()


@pytest.mark.parametrize("kind", [FVSBN, VAE, NICE])
def test_every_family_keeps_what_is_known(kind: type) -> None:
    torch.manual_seed(0)
    options = {"hidden": [8]} if kind is NICE else {}
    model = kind((1, 4, 4), 4, **options).eval()
    x = torch.randint(0, 4, (3, 1, 4, 4)).byte()
    if kind is NICE:
        model.initialize(torch.randint(0, 4, (20, 1, 4, 4)).byte())
    seen = MissingPatch()(x / 3, SampleNoise(0, range(3)))
    restorer, again = (restorer_for(model, MissingPatch()) for _ in range(2))
    if isinstance(restorer, ByHamiltonian):
        restorer.burn_in = again.burn_in = 4
    with torch.inference_mode():
        drawn = restorer(seen, draws=2, indices=[4, 5, 6])
    assert drawn.shape == (2, 3, 1, 4, 4)
    assert (drawn - x / 3).abs()[:, seen.known].max() < 1e-6
    assert not torch.equal(drawn[0], drawn[1])
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert torch.equal(drawn, again(seen, draws=2, indices=[4, 5, 6]))
    assert "exact" in restorer.note


def test_bits_of_unknown_pixels_are_those_of_the_enumeration() -> None:
    vae, every = small_vae((1, 2, 2), 2), every_image((1, 2, 2), 2)
    with torch.no_grad():  # a q(z | x) as wide as p(z), with which importance sampling is easy
        vae.encoder.map.weight.mul_(0.1)
        vae.encoder.map.bias.fill_(0.2)
    arm = shaken(FVSBN((1, 2, 2), 2))
    assert isinstance(arm, FVSBN)
    for known, kind in (([[1, 1], [0, 0]], "exact"), ([[0, 1], [0, 1]], "particles-256")):
        mask = torch.tensor(known).bool().view(1, 1, 2, 2)
        x, wanted = every[4:12], {}
        with torch.no_grad():
            for name, log_p in (("arm", arm.log_prob(every)), ("vae", vae_log_p(vae, every))):
                agrees = ((x[:, None] == every) | ~mask).flatten(2).all(2)
                log_known = log_p.expand(len(x), -1).masked_fill(~agrees, -torch.inf).logsumexp(1)
                wanted[name] = (log_known - log_p[4:12]) / torch.tensor(2.0).log() / 2
        name, found = unknown_bits(arm, x, mask.expand_as(x))
        assert name == kind
        assert torch.allclose(found, wanted["arm"], atol=1e-6 if kind == "exact" else 0.15)
        name, found = unknown_bits(vae, x, mask.expand_as(x), samples=2000)
        assert name == "iwae-2000"
        assert torch.allclose(found, wanted["vae"], atol=0.1)
    with pytest.raises(GdlError, match=r"NICE has no p.*model=made, or of model=vae"):
        unknown_bits(NICE((1, 2, 2), 2, hidden=[4]), every[:2], mask)


def test_a_picture_shows_the_families_below_each_other() -> None:
    x = torch.rand(2, 1, 4, 4)
    corruption = MissingPatch()
    seen = corruption(x, SampleNoise(0, range(2)))
    made, vae = (restorer_for(k((1, 4, 4), 2).eval(), corruption) for k in (FVSBN, VAE))
    picture = families_picture({"made": made, "vae": vae}, x, seen, draws=3, title="a hole")
    assert picture.images.shape == (4, 6, 1, 4, 4)
    assert list(picture.rows) == ["made", "vae"] * 2
    assert list(picture.columns) == ["original", "seen", "mean", "draw 1", "draw 2", "draw 3"]
    assert torch.equal(picture.images[0, 0], picture.images[1, 0])
    assert torch.equal(picture.images[2, 0], x[1])
    assert torch.allclose(picture.images[3, 2], picture.images[3, 3:].mean(0))
