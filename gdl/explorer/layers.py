"""The visitor that writes networks out layer by layer, from the modules themselves."""

from collections.abc import Callable

from torch import nn

from gdl.errors import GdlError
from gdl.explorer.graph import Graph
from gdl.nn.conv import ConvDecoder, ConvEncoder, ResBlock
from gdl.nn.coupling_networks import VectorConditioner
from gdl.nn.linear import Linear
from gdl.nn.mlp import MLPDecoder, MLPEncoder, ResidualLayer

__all__ = ["Inexpressible", "written"]

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

    Raises:
        Inexpressible: There is no operation for a layer of it.
    """
    if type(module) not in LAYERS:
        raise Inexpressible(
            f"The page cannot run a layer of type {type(module).__name__}: let Python decode, with "
            "gdl explore --serve."
        )
    return LAYERS[type(module)](module, graph, *inputs)


@layer(nn.Sequential, MLPEncoder, VectorConditioner)
def _sequence(module: nn.Sequential, graph: Graph, x: int) -> int:
    for part in module:
        x = written(part, graph, x)
    return x


@layer(nn.Linear, Linear)
def _linear(module: nn.Linear, graph: Graph, x: int) -> int:
    return graph.add("linear", x, tensors={"weight": module.weight, "bias": module.bias})


@layer(nn.Conv2d)
def _conv(module: nn.Conv2d, graph: Graph, x: int) -> int:
    # A: refuse dilation, groups, other padding modes; "same" is a number where the kernel is odd
    padding = module.padding if isinstance(module.padding, str) else module.padding[0]
    padding = (module.kernel_size[0] // 2) if padding == "same" else padding
    tensors = {"weight": module.weight, "bias": module.bias}
    return graph.add("conv2d", x, tensors=tensors, stride=module.stride[0], padding=padding)


@layer(nn.ReLU, nn.SiLU, nn.ELU, nn.GELU, nn.Tanh)
def _activation(module: nn.Module, graph: Graph, x: int) -> int:
    return graph.add(type(module).__name__.lower(), x)


@layer(nn.Flatten)
def _flatten(module: nn.Flatten, graph: Graph, x: int) -> int:
    return graph.add("reshape", x, shape=[-1])


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
    h = graph.add("pixel_unshuffle", x, factor=module.patch)
    return written(module.head, graph, written(module.net, graph, h))


@layer(ConvDecoder)
def _conv_decoder(module: ConvDecoder, graph: Graph, z: int) -> int:
    h = graph.add("reshape", written(module.stem, graph, z), shape=[*module.top])
    h = written(module.stages[0], graph, h)
    for size, conv, stage in zip(module.sizes[1:], module.grow, module.stages[1:], strict=True):
        h = graph.add("resize", h, size=[*size])
        h = written(stage, graph, written(conv, graph, h))
    return graph.add("pixel_shuffle", written(module.head, graph, h), factor=module.patch)
