"""Neural networks; none of them computes a density."""

from gdl.nn.attention import CausalBlock, KeyValues, Rotary
from gdl.nn.conv import ConvDecoder, ConvEncoder
from gdl.nn.coupling_networks import (
    ConvConditioner,
    NoiseConditioner,
    VectorConditioner,
    ZeroConv,
)
from gdl.nn.gated import GatedPixelNet
from gdl.nn.masked import CausalConv, Piece, TwoStreams, columns
from gdl.nn.mlp import MLPDecoder, MLPEncoder, activation, perceptron
from gdl.nn.prefix import PrefixLinear
from gdl.nn.pyramid import PyramidPixelNet
from gdl.nn.tied import prefix_outputs
from gdl.nn.transformer import ImageTransformer, neighbours
from gdl.nn.unet import UNet

__all__ = [
    "CausalBlock",
    "CausalConv",
    "ConvConditioner",
    "ConvDecoder",
    "ConvEncoder",
    "GatedPixelNet",
    "ImageTransformer",
    "KeyValues",
    "MLPDecoder",
    "MLPEncoder",
    "NoiseConditioner",
    "Piece",
    "PrefixLinear",
    "PyramidPixelNet",
    "Rotary",
    "TwoStreams",
    "UNet",
    "VectorConditioner",
    "ZeroConv",
    "activation",
    "columns",
    "neighbours",
    "perceptron",
    "prefix_outputs",
]
