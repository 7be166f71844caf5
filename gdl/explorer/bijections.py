"""The visitor that writes the layers of a flow on vectors out, in both directions."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import Tensor

from gdl.explorer.graph import Graph
from gdl.explorer.layers import Inexpressible, written
from gdl.flows import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Bijection,
    Chain,
    Flatten,
    HalvesCoupling,
    MixtureCoupling,
    MixtureLogit,
    Permutation,
    Scale,
    Standardize,
    Whitening,
    tanh_scale,
)
from gdl.flows.stacked import VectorCouplings

__all__ = ["Way", "plain_layers"]


@dataclass
class Way:
    """A way through bijections: the graph it is written to, and its direction.

    Args:
        graph: Where the operations go.
        num_dims: D of the vectors (B, D).
        inverse: From latents to data, else from data to latents.
        log_dets: The terms (B,) of log |det dz/dx| so far, in nats; None if nobody asks for them.
    """

    graph: Graph
    num_dims: int
    inverse: bool = False
    log_dets: list[int] | None = field(default=None)

    def through(self, layers: Iterable[Bijection], h: int) -> int:
        """Append layers, given in the order of forward, and return the number of the result.

        Raises:
            Inexpressible: There is no operation for one of them.
        """
        for layer in reversed([*layers]) if self.inverse else layers:
            if type(layer) not in BIJECTIONS:
                raise Inexpressible(
                    f"The page cannot run a flow's layer of type {type(layer).__name__}: let Python "
                    "decode, with gdl explore --serve."
                )
            h = BIJECTIONS[type(layer)](layer, self, h)
        return h

    def log_det(self) -> int | None:
        """Return the number of the sum (B,) of all terms; None if there are none, which means 0."""
        total = None
        for term in self.log_dets or ():
            total = term if total is None else self.graph.add("add", total, term)
        return total

    def add(self, op: str, *inputs: int, tensor: Tensor | None = None, **options: object) -> int:
        """Append an operation with one tensor, or without."""
        return self.graph.add(op, *inputs, tensors={"tensor": tensor}, **options)

    def stretch(self, h: int, log_scale: Tensor) -> int:
        """Append h * e^log_scale, or h / e^log_scale on the way back, for log-scales (D,)."""
        if self.log_dets is not None:
            # a tensor and not a number of the graph: other checkpoints have the same graph
            self.log_dets.append(self.add("constant", h, tensor=log_scale.sum()))
        return self.add("mul_tensor", h, tensor=(-log_scale if self.inverse else log_scale).exp())


Writer = Callable[..., int]

BIJECTIONS: dict[type[Bijection], Writer] = {}
"""What writes a layer; looked up by the exact class, since a subclass may compute something else."""


def bijection(*kinds: type[Bijection]) -> Callable[[Writer], Writer]:
    """Register a function `(layer, way, h) -> result` for classes of bijections."""

    def register(writer: Writer) -> Writer:
        BIJECTIONS.update(dict.fromkeys(kinds, writer))
        return writer

    return register


def plain_layers(bijection: Bijection) -> list[Bijection]:
    """Return the layers of a flow, one coupling at a time, in the order of forward.

    Ask once for both directions: couplings that are kept as a stack are views of it, made anew by
    each call, and each view is a tensor of the page.
    """
    if type(bijection) is Chain:
        return [layer for step in bijection.steps for layer in plain_layers(step)]
    return bijection.layers() if type(bijection) is VectorCouplings else [bijection]


@bijection(Flatten)
def _flatten(layer: Flatten, way: Way, h: int) -> int:
    return way.add("reshape", h, shape=[*layer.shape] if way.inverse else [-1])


@bijection(Permutation)
def _permutation(layer: Permutation, way: Way, h: int) -> int:
    return way.add("take", h, order=(layer.reverse if way.inverse else layer.order).tolist())


@bijection(Scale)
def _scale(layer: Scale, way: Way, h: int) -> int:
    return way.stretch(h, layer.log_scale)


@bijection(ActNorm)
def _act_norm(layer: ActNorm, way: Way, h: int) -> int:
    if way.inverse:
        return way.add("add_tensor", way.stretch(h, layer.log_scale), tensor=-layer.bias)
    return way.stretch(way.add("add_tensor", h, tensor=layer.bias), layer.log_scale)


@bijection(Standardize)
def _standardize(layer: Standardize, way: Way, h: int) -> int:
    if way.inverse:
        return way.add("add_tensor", way.stretch(h, -layer.log_std), tensor=layer.mean)
    return way.stretch(way.add("add_tensor", h, tensor=-layer.mean), -layer.log_std)


@bijection(Whitening)
def _whitening(layer: Whitening, way: Way, h: int) -> int:
    packed = {"packed": layer.packed}
    if way.inverse:
        x = way.graph.add("solve_triangular", h, tensors=packed)
        return way.add("add_tensor", x, tensor=layer.mean)
    if way.log_dets is not None:
        way.log_dets.append(way.add("constant", h, tensor=layer.packed.diagonal().sum()))
    centred = way.add("add_tensor", h, tensor=-layer.mean)
    return way.graph.add("triangular", centred, tensors=packed)


@bijection(AdditiveCoupling)
def _additive(layer: AdditiveCoupling, way: Way, h: int) -> int:
    return _coupling(layer, way, h, lambda net, moved, _: _shift(way, moved, net))


@bijection(AffineCoupling)
def _affine(layer: AffineCoupling, way: Way, h: int) -> int:
    if layer.scale is not tanh_scale:
        raise Inexpressible(
            "The page knows affine couplings with tanh_scale only: let Python decode, with gdl "
            "explore --serve."
        )

    def move(net: int, moved: int, size: int) -> int:
        shift = way.add("narrow", net, start=0, length=size)
        raw = way.add("narrow", net, start=size, length=size)
        # see tanh_log_scale
        tanh = way.add("tanh", way.add("affine", raw, scale=0.5, shift=0))
        log_scale = way.add("affine", tanh, scale=2, shift=0)
        if way.inverse:
            down = way.add("exp", way.add("affine", log_scale, scale=-1, shift=0))
            return _shift(way, way.add("mul", moved, down), shift)
        if way.log_dets is not None:
            way.log_dets.append(way.add("sum", log_scale))
        return way.add("mul", _shift(way, moved, shift), way.add("exp", log_scale))

    return _coupling(layer, way, h, move)


@bijection(MixtureCoupling)
def _mixture_coupling(layer: MixtureCoupling, way: Way, h: int) -> int:
    def move(net: int, moved: int, size: int) -> int:
        change = way.add("reshape", net, shape=[size, *layer.start.shape])
        return _mixture(way, moved, way.add("add_tensor", change, tensor=layer.start))

    return _coupling(layer, way, h, move)


@bijection(MixtureLogit)
def _mixture_logit(layer: MixtureLogit, way: Way, h: int) -> int:
    return _mixture(way, h, way.add("constant", h, tensor=layer.raw))


def _mixture(way: Way, h: int, raw: int) -> int:
    if way.inverse:
        return way.add("mixture_invert", h, raw)
    if way.log_dets is not None:
        way.log_dets.append(way.add("sum", way.add("mixture_log_slope", h, raw)))
    return way.add("mixture_logit", h, raw)


def _shift(way: Way, moved: int, shift: int) -> int:
    return way.add("sub" if way.inverse else "add", moved, shift)


def _coupling(
    layer: HalvesCoupling, way: Way, h: int, move: Callable[[int, int, int], int]
) -> int:
    """Append a coupling; `move` maps the network's result, the half that moves and its size."""
    half = (
        way.num_dims + 1
    ) // 2  # as chunk does: where D is odd, the first half is the larger one
    first = way.add("narrow", h, start=0, length=half)
    second = way.add("narrow", h, start=half, length=way.num_dims - half)
    stays, moved = (second, first) if layer.swap else (first, second)
    size = half if layer.swap else way.num_dims - half
    moved = move(written(layer.net, way.graph, stays), moved, size)
    return way.add("concat", *((moved, stays) if layer.swap else (stays, moved)))
