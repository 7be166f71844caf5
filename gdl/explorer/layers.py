"""The visitor that writes networks out layer by layer, from the modules themselves."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from gdl.errors import GdlError
from gdl.explorer.graph import Graph
from gdl.nn.conv import ConvDecoder, ConvEncoder, ResBlock
from gdl.nn.coupling_networks import VectorConditioner
from gdl.nn.dropout import Dropout
from gdl.nn.labels import LabelledCodes, LabelledImages
from gdl.nn.linear import Linear
from gdl.nn.mlp import MLPDecoder, MLPEncoder, ResidualLayer

__all__ = ["LAYERS", "Inexpressible", "layer", "written"]

Writer = Callable[..., int]

LAYERS: dict[type[nn.Module], Writer] = {}
"""What writes a module; looked up by the exact class, since a subclass may compute something else."""


class Inexpressible(GdlError):
    """A network that the page cannot run."""


def layer(*kinds: type[nn.Module]) -> Callable[[Writer], Writer]:
    """Register a function `(module, graph, *inputs) -> result` for classes of modules."""

    def register(writer: Writer) -> Writer:
        LAYERS.update(dict.fromkeys(kinds, writer))
        return writer

    return register


def written(module: nn.Module, graph: Graph, *inputs: int) -> int:
    """Append a module to a graph and return the number of its result.

    The module computes what it does in evaluation: its dropout does nothing.

    Raises:
        Inexpressible: There is no operation for a layer of it, or for an option of a layer.
    """
    # a layer whose weights are parametrised has a class of its own; the weights are taken as they are
    kind = parametrize.type_before_parametrizations(module)
    if kind not in LAYERS:
        raise Inexpressible(_sentence(f"a layer of type {kind.__name__}"))
    if "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks:
        raise Inexpressible(
            _sentence(f"a {kind.__name__} whose forward pass was changed from outside")
        )
    return LAYERS[kind](module, graph, *inputs)


def _sentence(what: str) -> str:
    return f"The page cannot run {what}: let Python decode, with gdl explore --serve."


def _only(module: nn.Module, **known: Any) -> None:
    """Check that options of a layer have the values that its operation computes.

    Raises:
        Inexpressible: One of them has another value.
    """
    for name, value in known.items():
        if (own := getattr(module, name)) != value:
            raise Inexpressible(_sentence(f"a {type(module).__name__} with {name}={own!r}"))


@layer(nn.Sequential, MLPEncoder, VectorConditioner)
def _sequence(module: nn.Sequential, graph: Graph, x: int) -> int:
    for part in module:
        x = written(part, graph, x)
    return x


@layer(nn.Identity, nn.Dropout, nn.Dropout2d, Dropout)
def _identity(module: nn.Module, graph: Graph, x: int) -> int:
    return x


@layer(nn.Linear, Linear)
def _linear(module: nn.Linear, graph: Graph, x: int) -> int:
    return graph.add("linear", x, tensors={"weight": module.weight, "bias": module.bias})


@layer(nn.Conv2d)
def _conv(module: nn.Conv2d, graph: Graph, x: int) -> int:
    _only(module, padding_mode="zeros", groups=1, dilation=(1, 1))
    return graph.add(
        "conv2d",
        x,
        tensors={"weight": module.weight, "bias": module.bias},
        stride=[*module.stride],
        # left, right, above, below; also of "same" and "valid"
        padding=[*module._reversed_padding_repeated_twice],
    )


@layer(nn.ReLU, nn.SiLU, nn.Tanh, nn.Sigmoid)
def _activation(module: nn.Module, graph: Graph, x: int) -> int:
    return graph.add(type(module).__name__.lower(), x)


@layer(nn.GELU)
def _gelu(module: nn.GELU, graph: Graph, x: int) -> int:
    _only(module, approximate="none")
    return graph.add("gelu", x)


@layer(nn.ELU)
def _elu(module: nn.ELU, graph: Graph, x: int) -> int:
    return graph.add("elu", x, alpha=float(module.alpha))


@layer(nn.LeakyReLU)
def _leaky_relu(module: nn.LeakyReLU, graph: Graph, x: int) -> int:
    return graph.add("leaky_relu", x, slope=float(module.negative_slope))


@layer(nn.Softplus)
def _softplus(module: nn.Softplus, graph: Graph, x: int) -> int:
    # above its threshold the layer returns x, which differs by less than exp(-threshold)
    _only(module, beta=1, threshold=20)
    return graph.add("softplus", x)


@layer(nn.Flatten)
def _flatten(module: nn.Flatten, graph: Graph, x: int) -> int:
    if module.start_dim == 0:
        raise Inexpressible(_sentence("a Flatten that joins the images of a batch"))
    return graph.add("flatten", x, start=module.start_dim, end=module.end_dim)


@layer(nn.PixelShuffle)
def _pixel_shuffle(module: nn.PixelShuffle, graph: Graph, x: int) -> int:
    return graph.add("pixel_shuffle", x, factor=module.upscale_factor)


@layer(nn.PixelUnshuffle)
def _pixel_unshuffle(module: nn.PixelUnshuffle, graph: Graph, x: int) -> int:
    return graph.add("pixel_unshuffle", x, factor=module.downscale_factor)


@layer(ResidualLayer)
def _residual(module: ResidualLayer, graph: Graph, x: int) -> int:
    h = written(module.linear, graph, x)
    return graph.add("add", x, written(module.act, graph, h))


@layer(MLPDecoder)
def _mlp_decoder(module: MLPDecoder, graph: Graph, z: int) -> int:
    return graph.add("reshape", written(module.net, graph, z), shape=[*module.shape])


@layer(ResBlock)
def _res_block(module: ResBlock, graph: Graph, x: int) -> int:
    return graph.add("add", x, written(module.net, graph, x))


@layer(ConvEncoder)
def _conv_encoder(module: ConvEncoder, graph: Graph, x: int) -> int:
    h = graph.add("pixel_unshuffle", x, factor=module.patch) if module.patch > 1 else x
    return written(module.head, graph, written(module.net, graph, h))


@layer(ConvDecoder)
def _conv_decoder(module: ConvDecoder, graph: Graph, z: int) -> int:
    h = graph.add("reshape", written(module.stem, graph, z), shape=[*module.top])
    h = written(module.stages[0], graph, h)
    for size, conv, stage in zip(module.sizes[1:], module.grow, module.stages[1:], strict=True):
        h = graph.add("resize", h, size=[*size])
        h = written(stage, graph, written(conv, graph, h))
    h = written(module.head, graph, h)
    return graph.add("pixel_shuffle", h, factor=module.patch) if module.patch > 1 else h


@layer(LabelledImages)
def _labelled_images(module: LabelledImages, graph: Graph, x: int, y: int) -> int:
    return graph.add("add", x, graph.add("rows", y, tensors={"tensor": module.image}))


@layer(LabelledCodes)
def _labelled_codes(module: LabelledCodes, graph: Graph, z: int, y: int) -> int:
    return graph.add("concat", z, graph.add("rows", y, tensors={"tensor": module.code}))
