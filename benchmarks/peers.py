"""The same flows in gdl and in the libraries that people use, with one interface.

    pip install -e '.[benchmarks]'

Depth, widths, activations and data are equal, and so are the parameters within 1% (asserted). Data
are real numbers, so that no library pays for another's dequantization. What stays different:
normflows has a Gaussian per channel where gdl's Glow has a learned split prior, nflows has N(0, I)
there and a random permutation behind each 1x1 convolution, zuko's and FrEIA's couplings bound their
scales by other functions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from gdl.families.flow import FlowModel
from gdl.models.glow import Glow
from gdl.models.nice import NICE
from gdl.models.realnvp import RealNVP

__all__ = ["Candidate", "glow", "nice", "plane"]


@dataclass
class Candidate:
    """A flow of one library."""

    module: nn.Module
    log_prob: Callable[[Tensor], Tensor]
    sample: Callable[[int], Tensor]
    unused: int = 0
    """Elements of parameters that no gradient ever reaches."""
    network: type[nn.Module] | None = None
    """What is compiled of a deep flow: its couplings' networks; None: all of it."""

    @property
    def num_params(self) -> int:
        """Trained parameters."""
        every = sum(p.numel() for p in self.module.parameters() if p.requires_grad)
        return every - self.unused

    def compiled(self) -> "Candidate":
        """Return it compiled: gdl as compile=true does, a peer's networks, or all of a small peer.

        One graph of a whole Glow takes longer to compile than all that is measured here.
        """
        torch._dynamo.config.recompile_limit = 64
        if isinstance(self.module, FlowModel):
            self.module.compile_networks()
            return self
        if self.network is None:
            return replace(
                self, log_prob=torch.compile(self.log_prob), sample=torch.compile(self.sample)
            )
        for module in self.module.modules():
            if isinstance(module, self.network):
                module.compile()
        return self


def _ours(model: FlowModel, x: Tensor) -> Candidate:
    model.initialize(x)
    return Candidate(model, model.log_prob, model.sample)


def _mlp(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, o in pairwise(sizes):
        layers += [nn.Linear(i, o), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


# ---- Glow on 3x32x32, 3 levels


def glow(x: Tensor, depth: int, width: int) -> dict[str, Callable[[], Candidate]]:
    """Return the builders of a Glow without ActNorm in its networks."""
    return {
        "gdl": lambda: _ours(
            Glow(x.shape[1:], None, depth=depth, width=width, net_norm=False),
            x,
        ),
        "normflows": lambda: _normflows_glow(x, depth, width),
        "nflows": lambda: _nflows_glow(x, depth, width),
    }


def _normflows_glow(x: Tensor, depth: int, width: int) -> Candidate:
    import normflows as nf

    c, h, _ = x.shape[1:]
    levels = 3
    bases, merges, flows = [], [], []
    for i in range(levels):
        channels = c * 2 ** (levels + 1 - i)
        steps = [
            nf.flows.GlowBlock(channels, width, split_mode="channel", scale=True)
            for _ in range(depth)
        ]
        flows.append([*steps, nf.flows.Squeeze()])
        side = h // 2 ** (levels - i)
        if i > 0:
            merges.append(nf.flows.Merge())
            shape = (channels // 2, side, side)
        else:
            shape = (channels, side, side)
        bases.append(nf.distributions.GlowBase(shape))
    model = nf.MultiscaleFlow(bases, flows, merges, class_cond=False)
    with torch.no_grad():
        model.log_prob(x, None)  # the first batch sets its ActNorms
    # its triangular matrices are stored as full ones
    unused = sum(
        m.num_channels * (m.num_channels + 1)
        for m in model.modules()
        if isinstance(m, nf.flows.Invertible1x1Conv)
    )
    return Candidate(
        model,
        lambda v: model.log_prob(v, None),
        lambda n: model.sample(n)[0],
        unused,
        nf.nets.ConvNet2d,
    )


class _NflowsNet(nn.Module):
    """nflows passes a context, which here is None."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, context: None = None) -> Tensor:
        return self.net(x)


def _nflows_glow(x: Tensor, depth: int, width: int) -> Candidate:
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import (
        ActNorm,
        AffineCouplingTransform,
        CompositeTransform,
        MultiscaleCompositeTransform,
        OneByOneConvolution,
        SqueezeTransform,
    )

    def net(i: int, o: int) -> nn.Module:
        last = nn.Conv2d(width, o, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # pyright: ignore[reportArgumentType]
        first, middle = nn.Conv2d(i, width, 3, padding=1), nn.Conv2d(width, width, 1)
        return _NflowsNet(nn.Sequential(first, nn.ReLU(), middle, nn.ReLU(), last))

    c, h, w = x.shape[1:]
    levels = 3
    scales = MultiscaleCompositeTransform(levels)
    for _ in range(levels):
        c, h, w = 4 * c, h // 2, w // 2
        steps: list[nn.Module] = [SqueezeTransform()]
        for _ in range(depth):
            mask = torch.cat([torch.ones(c // 2), -torch.ones(c // 2)])
            steps += [ActNorm(c), OneByOneConvolution(c), AffineCouplingTransform(mask, net)]
        rest = scales.add_transform(CompositeTransform(steps), (c, h, w))
        if rest is not None:
            c, h, w = rest
    model = Flow(scales, StandardNormal([math.prod(x.shape[1:])]))
    with torch.no_grad():
        model.train().log_prob(x)
    return Candidate(model, model.log_prob, model.sample, network=_NflowsNet)


# ---- NICE on vectors


def nice(x: Tensor, hidden: list[int]) -> dict[str, Callable[[], Candidate]]:
    """Return the builders of four additive couplings; each library with a normal prior."""
    d = x.shape[1]
    return {
        "gdl": lambda: _ours(NICE((d,), None, hidden=hidden, prior="normal"), x),
        "normflows": lambda: _normflows_couplings(d, 4, hidden, additive=True),
        "nflows": lambda: _nflows_couplings(d, 4, hidden, additive=True),
        "zuko": lambda: _zuko_nice(d, hidden),
        "FrEIA": lambda: _freia_couplings(d, 4, hidden, additive=True),
    }


def _normflows_couplings(d: int, count: int, hidden: list[int], additive: bool) -> Candidate:
    import normflows as nf

    flows = []
    for _ in range(count):
        out = d // 2 if additive else 2 * (d // 2)
        net = nf.nets.MLP([d // 2, *hidden, out], init_zeros=True)
        flows += [
            nf.flows.AffineCouplingBlock(net, scale=not additive),
            nf.flows.Permute(d, "swap"),
        ]
    model = nf.NormalizingFlow(nf.distributions.DiagGaussian(d, trainable=False), flows)
    return Candidate(model, model.log_prob, lambda n: model.sample(n)[0])


def _nflows_couplings(d: int, count: int, hidden: list[int], additive: bool) -> Candidate:
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import (
        AdditiveCouplingTransform,
        AffineCouplingTransform,
        CompositeTransform,
    )

    transform = AdditiveCouplingTransform if additive else AffineCouplingTransform
    steps: list[nn.Module] = []
    for i in range(count):
        mask = torch.ones(d)
        mask[i % 2 :: 2] = -1
        steps.append(transform(mask, lambda a, b: _NflowsNet(_mlp([a, *hidden, b]))))
    model = Flow(CompositeTransform(steps), StandardNormal([d]))
    return Candidate(model, model.log_prob, model.sample)


def _zuko_nice(d: int, hidden: list[int]) -> Candidate:
    import zuko

    model = zuko.flows.NICE(
        d,
        transforms=4,
        hidden_features=hidden,
        univariate=zuko.transforms.AdditiveTransform,
        shapes=[()],
    )
    return _zuko(model)


def _zuko(model: nn.Module) -> Candidate:
    return Candidate(model, lambda x: model().log_prob(x), lambda n: model().sample((n,)))


def _freia_couplings(d: int, count: int, hidden: list[int], additive: bool) -> Candidate:
    import FrEIA.framework as ff
    import FrEIA.modules as fm

    block = fm.NICECouplingBlock if additive else fm.GLOWCouplingBlock
    model = ff.SequenceINN(d)
    for _ in range(count // 2):  # each of its blocks is two couplings
        model.append(block, subnet_constructor=lambda i, o: _mlp([i, *hidden, o]))

    def log_prob(x: Tensor) -> Tensor:
        z, log_det = model(x)
        return -0.5 * z.square().sum(1) - 0.5 * d * math.log(2 * math.pi) + log_det

    return Candidate(model, log_prob, lambda n: model(torch.randn(n, d), rev=True)[0])


# ---- Real NVP in the plane


def plane(x: Tensor, count: int, hidden: list[int]) -> dict[str, Callable[[], Candidate]]:
    """Return the builders of affine couplings of two dimensions."""
    d = x.shape[1]
    return {
        "gdl": lambda: _ours(RealNVP((d,), None, num_couplings=count, hidden=hidden), x),
        "normflows": lambda: _normflows_couplings(d, count, hidden, additive=False),
        "nflows": lambda: _nflows_couplings(d, count, hidden, additive=False),
        "zuko": lambda: _zuko_plane(d, count, hidden),
        "FrEIA": lambda: _freia_couplings(d, count, hidden, additive=False),
    }


def _zuko_plane(d: int, count: int, hidden: list[int]) -> Candidate:
    import zuko

    return _zuko(zuko.flows.RealNVP(d, transforms=count, hidden_features=hidden))
