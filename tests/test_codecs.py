"""Every codec gives the image back, whatever its levels and channels; lengths are those of codes."""

import sys

import numpy as np
import pytest
import torch

from gdl.coding import CODECS, Codec, code_lengths, codecs, stream_lengths
from gdl.coding.codecs import THOROUGH
from gdl.errors import GdlError

AVAILABLE = [name for name in CODECS if name != "jxl" or codecs.has_jxl()]
SHAPES = [(1, 8, 8), (3, 5, 7), (1, 1, 1), (2, 4, 4)]


def images(kind: str, shape: tuple[int, ...], levels: int, n: int = 3) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    x = torch.randint(levels, (n, *shape), generator=g, dtype=torch.uint8)
    if kind == "constant":
        x[:] = levels - 1
    if kind == "smooth":
        x = (
            (torch.arange(x[0].numel()) % levels)
            .to(torch.uint8)
            .view(1, *shape)
            .repeat(n, 1, 1, 1)
        )
    return x


@pytest.mark.parametrize("codecs_of", [CODECS, THOROUGH], ids=["usual", "thorough"])
@pytest.mark.parametrize("name", AVAILABLE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_image_comes_back(
    name: str, shape: tuple[int, ...], codecs_of: dict[str, Codec]
) -> None:
    codec = codecs_of[name]
    if codec.takes_channels and shape[0] not in codec.takes_channels:
        assert name not in code_lengths(images("noise", shape, 256), 256)
        return
    for levels in (2, 4, 17, 256):
        for kind in ("noise", "constant", "smooth"):
            for x in images(kind, shape, levels).numpy():
                code = codec.encode(x, levels)
                assert isinstance(code, bytes)
                back = codec.decode(code, shape, levels)
                assert back.dtype == np.uint8
                assert np.array_equal(back, x), (levels, kind)


@pytest.mark.parametrize("name", AVAILABLE)
def test_lengths_are_those_of_the_codes(name: str) -> None:
    x, codec = images("smooth", (1, 8, 8), 17, n=40), CODECS[name]
    alone = code_lengths(x, 17, [name])
    assert alone[name].tolist() == [len(codec.encode(image, 17)) for image in x.numpy()]
    whole = stream_lengths(x, 17, [name])[name]
    if codec.takes_stream:
        code = codec.encode(x.numpy(), 17)
        assert whole == len(code) < alone[name].sum()
        assert np.array_equal(codec.decode(code, x.shape, 17), x.numpy())
    else:
        slow = THOROUGH[name]  # the table's numbers are of codecs at their best
        assert whole == sum(len(slow.encode(image, 17)) for image in x.numpy())
        assert whole <= alone[name].sum()


def test_uniform_noise_takes_its_bits_and_is_packed() -> None:
    for levels, bits in ((256, 8), (2, 1)):
        x = images("noise", (1, 64, 64), levels, n=2)
        for name, size in stream_lengths(x, levels, ["zlib", "xz"]).items():
            assert bits <= 8 * size / x.numel() < 1.01 * bits, (name, levels)
        assert 8 * stream_lengths(x, levels, ["png"])["png"] / x.numel() < 1.3 * bits


def test_a_codec_that_cannot_be_used_is_told_or_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images("noise", (1, 8, 8), 256)
    with pytest.raises(GdlError, match="no codec 'gif': choose from png, webp, jxl, zlib, xz"):
        code_lengths(x, 256, ["gif"])
    for levels in (None, 65536):
        with pytest.raises(GdlError, match="at most 256 levels"):
            stream_lengths(x, levels)
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    assert set(code_lengths(x, 256)) == set(CODECS) - {"jxl"}
    with pytest.raises(GdlError, match="pip install 'gdl\\[coding\\]'"):
        code_lengths(x, 256, ["jxl"])
