"""A gallery of wrong models, each with a classic mistake, written as a user would write it."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from gdl.distributions import DiscretizedLogistic, gaussian_kl
from gdl.families import GenerativeModel
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.flow import FlowModel
from gdl.flows.base import Chain
from gdl.flows.coupling import AffineCoupling
from gdl.flows.dequantize import Affine, Logit, UniformDequantization
from gdl.flows.linear import ActNorm
from gdl.flows.multiscale import MultiScale, SplitPrior, Squeeze
from gdl.flows.priors import NormalPrior
from gdl.flows.vectors import Flatten, Permutation
from gdl.models.fvsbn import FVSBN
from gdl.models.made import MADE
from gdl.models.vae import VAE
from gdl.nn.coupling_networks import VectorConditioner, ZeroConv
from gdl.nn.mlp import MLPDecoder, MLPEncoder
from gdl.noise import SampleNoise, normal, uniform

# ---- units


class MeanOverPixels(FVSBN):
    """The loss is F.binary_cross_entropy's mean, as most tutorials have it."""

    def loss(self, x):
        nll = -self.position_log_probs(x).mean(-1)
        return {"loss": nll, "nll": nll}


class InBits(FVSBN):
    def loss(self, x):
        nll = -self.log_prob(x) / math.log(2)
        return {"loss": nll, "nll": nll}


class BitsWithoutLn2(FVSBN):
    def bits_per_dim(self, nats, dims=None):
        return nats / (dims or self.num_dims)


class BitsAsATerm(FVSBN):
    """bits/dim of its own, with ln 256 taken away, as for a flow of [0, 1]."""

    def loss(self, x):
        terms = super().loss(x)
        return {**terms, "bpd": terms["nll"] / (self.num_dims * math.log(2)) - 8}


class MeanOfTheBatch(FVSBN):
    def loss(self, x):
        nll = -self.log_prob(x).mean()
        return {"loss": nll, "nll": nll}


# ---- autoregressive models


class Masked(AutoregressiveModel):
    """A perceptron with two masked layers."""

    strict = True
    blind = 0

    def __init__(self, shape, levels, hidden=64):
        super().__init__(shape, levels)
        n, p = self.bias.shape
        place, unit = torch.arange(n), torch.arange(hidden) % n
        first = unit[:, None] > place if self.strict else unit[:, None] >= place
        if self.blind:
            first = first & (place != self.blind)
        second = place.repeat_interleave(p)[:, None] >= unit
        self.register_buffer("first", first.float())
        self.register_buffer("second", second.float())
        self.a, self.b = nn.Linear(n, hidden), nn.Linear(hidden, n * p)

    def params(self, s):
        h = F.linear(self.unit(s).squeeze(-1), self.a.weight * self.first, self.a.bias).relu()
        return (
            F.linear(h, self.b.weight * self.second, self.b.bias).unflatten(1, self.bias.shape)
            + self.bias
        )


class MaskWithDiagonal(Masked):
    """Mask B in the first layer too: each position sees itself."""

    strict = False


class BlindSpot(Masked):
    """The second pixel is not looked at by any other."""

    blind = 1


class BlueBeforeRed(FVSBN):
    """Channels are read in another order than they are predicted in."""

    def params(self, s):
        c = self.shape[0]
        swapped = s.unflatten(1, (-1, c)).flip(2).flatten(1, 2)
        return super().params(swapped)


class SeesNothing(FVSBN):
    def params(self, s):
        return super().params(torch.zeros_like(s))


class OtherOrderInSampling(FVSBN):
    def image(self, s):
        return super().image(s.flip(1))


class ClampedLogits(FVSBN):
    """The nll is kept finite by clamping, but samples are drawn without."""

    def position_log_probs(self, x, y=None):
        s = self.sequence(x)
        logits = self.params(s).clamp(-3, 3)
        each = self.likelihood.log_prob(
            logits.flatten(0, 1)[..., None, None], s.flatten(0, 1)[..., None, None]
        )
        return each.view(s.shape[:2])


class ClampedNLL(FVSBN):
    def loss(self, x):
        nll = -self.position_log_probs(x).clamp(min=-2).sum(-1)
        return {"loss": nll, "nll": nll}


class Unused(FVSBN):
    def __init__(self, shape, levels):
        super().__init__(shape, levels)
        self.extra = nn.Linear(3, 3)


class GlobalNoise(FVSBN):
    """sample(n) without gdl.noise."""

    def sample(self, n, *, seed=0, temperature=1.0, mean=False, naive=False):
        return super().sample(n, seed=int(torch.randint(2**30, ())))


class OnePixelDropped(FVSBN):
    def log_prob(self, x):
        return self.position_log_probs(x)[:, 1:].sum(-1)


class DropoutInEvaluation(FVSBN):
    def params(self, s):
        return F.dropout(super().params(s), 0.3)


# ---- VAEs


class SmallVAE(VAE):
    def __init__(self, shape, levels, latent_dim=4, **options):
        networks = [partial(net, hidden=[32]) for net in (MLPEncoder, MLPDecoder)]
        super().__init__(shape, levels, latent_dim, *networks, **options)


class BoundInBits(SmallVAE):
    def loss(self, x):
        return {k: v / math.log(2) for k, v in super().loss(x).items()}


class KLWrongSign(SmallVAE):
    """-0.5 (1 - log var - mean^2 - var)."""

    def loss(self, x):
        mean, log_std = self.posterior(x)
        z = mean + log_std.exp() * normal(mean.shape, mean)
        distortion = -self.log_joint(x, z)[0]
        log_var = 2 * log_std
        rate = -0.5 * (1 - log_var - mean.square() - log_var.exp()).sum(-1)
        nll = distortion + rate
        return {"loss": nll, "nll": nll, "rate": rate, "distortion": distortion}


class BetaInNLL(SmallVAE):
    def loss(self, x):
        terms = super().loss(x)
        nll = terms["distortion"] + 4 * terms["rate"]
        return {**terms, "loss": nll, "nll": nll}


class KLMean(SmallVAE):
    def loss(self, x):
        terms = super().loss(x)
        rate = terms["rate"] / self.latent_shape[0]
        nll = terms["distortion"] + rate
        return {**terms, "rate": rate, "loss": nll, "nll": nll}


class MeanOfLogs(SmallVAE):
    """An IWAE whose bound is the mean of the log weights."""

    def __init__(self, shape, levels, latent_dim=4):
        super().__init__(shape, levels, latent_dim, num_importance_samples=5)

    def loss(self, x):
        log_px, log_ratio = self.log_weights(x, 5)
        nll = -(log_px + log_ratio).mean(0)
        return {"loss": nll, "nll": nll}


class PriorWithoutTwoPi(SmallVAE):
    def log_joint(self, x, z):
        log_px, _ = super().log_joint(x, z)
        return log_px, -0.5 * z.square().sum(-1)


class NoOpenBins(DiscretizedLogistic):
    """A discretized logistic whose first and last level have no tail."""

    def log_prob(self, params, x):
        mean, log_scale = params.chunk(2, -3)
        y, half = self._scaled(x, params), 1 / (self.levels - 1)
        inv = (-log_scale).exp()
        mass = ((y + half - mean) * inv).sigmoid() - ((y - half - mean) * inv).sigmoid()
        return mass.clamp(min=1e-12).log().flatten(-3).sum(-1)


class ClosedBins(SmallVAE):
    def __init__(self, shape, levels, latent_dim=8):
        super().__init__(shape, levels, latent_dim, likelihood=NoOpenBins)


class CutOff(SmallVAE):
    """z = (mean + std eps).detach(): no reparametrisation."""

    def loss(self, x):
        mean, log_std = self.posterior(x)
        z = (mean + log_std.exp() * normal(mean.shape, mean)).detach()
        distortion = -self.log_joint(x, z)[0]
        rate = gaussian_kl(mean, log_std).sum(-1)
        return {"loss": distortion + rate, "nll": distortion + rate}


class OwnVAE(GenerativeModel):
    """A VAE from scratch, as in a tutorial."""

    nll_kind = "bound"

    def __init__(self, shape, levels, latent_dim=4, hidden=32):
        super().__init__(shape, levels)
        d = self.num_dims
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            nn.Linear(d, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent_dim)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden), nn.ReLU(), nn.Linear(hidden, d)
        )

    def kl(self, mean, log_var):
        return -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(-1)

    def reconstruction(self, out, x):
        y = x.flatten(1).to(out.dtype) / (self.levels - 1)
        return F.binary_cross_entropy_with_logits(out, y, reduction="none").sum(-1)

    def loss(self, x):
        mean, log_var = self.encoder(self.scale(x).flatten(1)).chunk(2, -1)
        z = mean + (0.5 * log_var).exp() * normal(mean.shape, mean)
        nll = self.reconstruction(self.decoder(z), x) + self.kl(mean, log_var)
        return {"loss": nll, "nll": nll}


class OwnKLReversed(OwnVAE):
    """exp(-log_var) in place of exp(log_var)."""

    def kl(self, mean, log_var):
        return -0.5 * (1 + log_var - mean.square() - (-log_var).exp()).sum(-1)


class GaussianPixels(OwnVAE):
    """A density of pixels in [0, 1], with a learned variance, taken for a probability."""

    def __init__(self, shape, levels, latent_dim=4, hidden=32):
        super().__init__(shape, levels, latent_dim, hidden)
        self.log_std = nn.Parameter(torch.zeros(()))

    def reconstruction(self, out, x):
        y = x.flatten(1).to(out.dtype) / (self.levels - 1)
        return -torch.distributions.Normal(out, self.log_std.exp()).log_prob(y).sum(-1)


class SquaredError(OwnVAE):
    """The mean squared error takes the place of a likelihood."""

    def reconstruction(self, out, x):
        y = x.flatten(1).to(out.dtype) / (self.levels - 1)
        return (out - y).square().sum(-1)


class BatchNormed(OwnVAE):
    """A batch norm that uses the statistics of the batch in evaluation."""

    def __init__(self, shape, levels, latent_dim=4, hidden=32):
        super().__init__(shape, levels, latent_dim, hidden)
        norm = nn.BatchNorm1d(hidden, track_running_stats=False)
        self.encoder.insert(1, norm)


class RandomExact(OwnVAE):
    """Does not say that its nll is a bound."""

    nll_kind = "exact"


# ---- flows


class Flow(FlowModel):
    """Couplings of vectors behind a logit."""

    alpha = 0.05

    def __init__(self, shape, levels):
        d = math.prod(shape)
        net = partial(VectorConditioner, hidden=[16])
        steps = [self.pixels(), Flatten(shape), *self.between(d)]
        for k in range(4):
            steps += [self.coupling()(net(d // 2, 2 * (d // 2)), swap=k % 2 > 0)]
        super().__init__(shape, levels, Chain([*steps, ActNorm(d)]), self.make_prior())
        self.change()

    def pixels(self):
        return Logit(self.alpha)

    def between(self, d):
        return [Permutation([*range(0, d, 2), *range(1, d, 2)])]

    def coupling(self):
        return AffineCoupling

    def make_prior(self):
        return NormalPrior()

    def change(self):
        pass


class SignedCoupling(AffineCoupling):
    def forward(self, x):
        z, log_det = super().forward(x)
        return z, -log_det


class LogDetSign(Flow):
    def coupling(self):
        return SignedCoupling


class LogitOnly(Logit):
    def forward(self, x):
        return super().forward(x)[0], x.new_zeros(len(x))


class NoLogitJacobian(Flow):
    def pixels(self):
        return LogitOnly(self.alpha)


class WrongInverse(AffineCoupling):
    """Divides first and subtracts then."""

    def inverse(self, z):
        y = super().inverse(z)
        other, _ = super().forward(y)
        return y + 0.5 * (other - y)


class InverseOrder(Flow):
    def coupling(self):
        return WrongInverse


class PriorOfSquares(NormalPrior):
    def log_prob(self, z):
        return -0.5 * z.square().sum(-1)


class FlowPriorWithoutTwoPi(Flow):
    def make_prior(self):
        return PriorOfSquares()


class NoVolume(UniformDequantization):
    def forward(self, x, dtype):
        y, term = super().forward(x, dtype)
        return y, torch.zeros_like(term)


class NoDequantizationTerm(Flow):
    def change(self):
        self.dequantize = NoVolume(self.levels, self.shape)


class Centred(UniformDequantization):
    """Noise in [-1/2, 1/2)."""

    def forward(self, x, dtype):
        y, term = super().forward(x, dtype)
        return y - 0.5 / self.levels, term


class CentredNoise(Flow):
    def change(self):
        self.dequantize = Centred(self.levels, self.shape)


class Small(UniformDequantization):
    """Noise that is scaled twice."""

    def forward(self, x, dtype):
        u = uniform(x.shape, x.new_empty(0, dtype=dtype)) / self.levels
        return (x.to(dtype) + u) / self.levels, u.new_full((len(x),), -self.log_volume)


class SmallNoise(Flow):
    def change(self):
        self.dequantize = Small(self.levels, self.shape)


class OncePerImage(ActNorm):
    """Its log-determinant lacks the factor H W."""

    def forward(self, x):
        z, log_det = super().forward(x)
        return z, log_det / math.prod(x.shape[2:])


class UncountedSplit(SplitPrior):
    def whiten(self, h, given):
        eps, log_det = super().whiten(h, given)
        return eps, torch.zeros_like(log_det)


class ImageFlow(FlowModel):
    norm, split = ActNorm, SplitPrior

    def __init__(self, shape, levels):
        c, h, w = shape
        levels_ = [Chain([Squeeze(), self.norm(4 * c)]), ActNorm(2 * c)]
        shapes = [(4 * c, h // 2, w // 2), (2 * c, h // 2, w // 2)]
        flow = MultiScale(levels_, [self.split(ZeroConv(2 * c, 4 * c))], shapes)
        super().__init__(shape, levels, Chain([Affine(1.0, -0.5), flow]), NormalPrior())


class NormOncePerImage(ImageFlow):
    norm = OncePerImage


class SplitNotCounted(ImageFlow):
    split = UncountedSplit


class LatentsDropped(Flow):
    """The density of half of the latents."""

    def log_prob(self, x):
        y, term = self._continuous(x)
        z, log_det = self.bijection(y)
        return self.prior.log_prob(z[:, ::2]) + log_det + term


class NoLogDet(Flow):
    def log_prob(self, x):
        y, term = self._continuous(x)
        return self.prior.log_prob(self.bijection(y)[0]) + term


class ColdSamples(Flow):
    def sample_continuous(self, n, *, seed=0, temperature=1.0):
        return super().sample_continuous(n, seed=seed, temperature=0.6 * temperature)


class OwnGaussian(GenerativeModel):
    """A dequantized Gaussian from scratch, right but for `shift` and `volume`."""

    nll_kind = "bound"
    shift, volume = 0.0, True

    def __init__(self, shape, levels):
        super().__init__(shape, levels)
        self.mean = nn.Parameter(torch.full((self.num_dims,), 0.5))
        self.log_std = nn.Parameter(torch.full((self.num_dims,), -1.5))

    def loss(self, x):
        u = uniform((len(x), self.num_dims), self.mean) + self.shift
        y = (x.flatten(1) + u) / self.levels
        nll = -torch.distributions.Normal(self.mean, self.log_std.exp()).log_prob(y).sum(1)
        if self.volume:
            nll = nll + self.num_dims * math.log(self.levels)
        return {"loss": nll, "nll": nll}

    def sample(self, n, *, seed=0, temperature=1.0, mean=False):
        noise = SampleNoise(seed, range(n), self.device, self.dtype).normal(self.num_dims)
        y = (self.mean + temperature * self.log_std.exp() * noise) * self.levels
        return y.floor().clamp(0, self.levels - 1).view(n, *self.shape)


class OwnWithoutVolume(OwnGaussian):
    volume = False


class OwnShifted(OwnGaussian):
    shift = 1.0


WRONG = {
    # class: (a word of the check that must fail, words of its reason)
    MeanOverPixels: ("sum to 1", "mean over the dimensions"),
    InBits: ("sum to 1", "in bits, not in nats"),
    BoundInBits: ("nll is the bound", "in bits, not in nats"),
    BitsWithoutLn2: ("bits/dim", "ln 2 is missing"),
    BitsAsATerm: ("bits/dim", "the term bpd"),
    MeanOfTheBatch: ("terms", "sum over its dimensions only"),
    MaskWithDiagonal: ("causality", "sees itself"),
    BlueBeforeRed: ("causality", "order of the channels"),
    SeesNothing: ("causality", "see none of the earlier"),
    OtherOrderInSampling: ("samples", "order in which sample writes"),
    ClampedLogits: ("samples", "clamping"),
    ClampedNLL: ("sum to 1", "not normalised"),
    Unused: ("gradients", "extra.weight"),
    GlobalNoise: ("sample k", "global random stream"),
    OnePixelDropped: ("sum to 1", "p(x) sums to 2"),
    DropoutInEvaluation: ("repeatable", "dropout"),
    KLWrongSign: ("rate", "sign of the log-variance"),
    BetaInNLL: ("terms", "counts the rate 4 times"),
    KLMean: ("rate", "not the divergence"),
    MeanOfLogs: ("nll is the bound", "mean of the logs"),
    PriorWithoutTwoPi: ("prior", "2 pi"),
    ClosedBins: ("sum to 1", "not normalised"),
    CutOff: ("derivative", "reparametrisation"),
    OwnKLReversed: ("entropy", "wrong sign"),
    GaussianPixels: ("entropy", "density"),
    SquaredError: ("entropy", "less than any density"),
    BatchNormed: ("terms", "batch norm"),
    RandomExact: ("repeatable", "bound"),
    LogDetSign: ("log-determinant", "sign is wrong"),
    NoLogitJacobian: ("log-determinant", "its Jacobian is not counted"),
    InverseOrder: ("inverse", "does not undo"),
    FlowPriorWithoutTwoPi: ("prior", "2 pi"),
    NoDequantizationTerm: ("dequantization", "D ln"),
    CentredNoise: ("dequantization", "[0, 1)"),
    SmallNoise: ("dequantization", "evenly"),
    NormOncePerImage: ("log-determinant", "once per image"),
    SplitNotCounted: ("log-determinant", "split"),
    LatentsDropped: ("change of variables", "density of its parts"),
    NoLogDet: ("change of variables", "log_det is missing"),
    ColdSamples: ("samples", "not of p(x)"),
    OwnWithoutVolume: ("bound on the sum", "density of real numbers"),
    OwnShifted: ("bound below samples", "less than -log p(x)"),
}
"""What each wrong model is caught by."""

WARNED = {BlindSpot: ("causality", "blind spot")}
"""What is no error by itself, but seldom meant."""

RIGHT = [Masked, Flow, ImageFlow, OwnVAE, SmallVAE, OwnGaussian, FVSBN, partial(MADE, hidden=[40])]
"""Models of the same kinds without a mistake."""

BINARY = {OwnVAE, OwnKLReversed, BatchNormed, RandomExact}
"""Models of binary images: their pixels are Bernoulli variables."""

__all__ = ["BINARY", "RIGHT", "WARNED", "WRONG"]
