"""Networks of autoregressive models: what each position sees, and evaluation piece by piece."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gdl.families.order import pixel_order
from gdl.nn.gated import GatedPixelNet
from gdl.nn.masked import CausalConv, TwoStreams
from gdl.nn.pyramid import PyramidPixelNet
from gdl.nn.transformer import ImageTransformer, neighbours

Shape = tuple[int, int, int]

STREAMS: dict[str, Callable[[int, tuple[int, int]], TwoStreams]] = {
    "gated": lambda c, size: GatedPixelNet(c, size, width=6, layers=6, first=5),
    "pyramid": lambda c, size: PyramidPixelNet(c, size, 4, blocks=2, resolutions=3, dropout=0.5),
}
SHAPES = [(1, 8, 8), (3, 6, 5), (2, 3, 7)]  # sizes that can be halved and that cannot
each_stream = pytest.mark.parametrize("name", STREAMS)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_order = pytest.mark.parametrize("order", ["raster", "random"])


def transformer(shape: Shape, order: str, window: int = 3) -> ImageTransformer:
    torch.manual_seed(0)
    near = neighbours(pixel_order(order, *shape[1:]), shape[0], shape[1:], window)
    net = ImageTransformer(near, 8, blocks=2, heads=2, dropout=0.5)
    with torch.no_grad():
        for p in net.parameters():  # attention starts too even to show in a derivative
            p.add_(0.3 * torch.randn_like(p))
    return net.double().eval()


def streams(name: str, shape: Shape) -> TwoStreams:
    torch.manual_seed(0)
    return STREAMS[name](shape[0], shape[1:]).double().eval()


@torch.no_grad()
def seen(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return whether f(x)_i depends on x_j, (N, N), of sequences x (N, V) and f(x) (N, F)."""
    changed = x + 3 * torch.eye(len(x), dtype=x.dtype)[..., None]  # at j, in row j
    y = f(torch.cat([x[None], changed]))
    return ((y[1:] - y[0]).abs() > 1e-13).any(-1).T


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@each_shape
@each_stream
def test_a_pixel_sees_all_pixels_before_it_and_no_other(name: str, shape: Shape) -> None:
    c, h, w = shape
    net = streams(name, shape)
    found = seen(net, draw(h * w, c))
    # six layers of size 3 reach six columns to the right in the first row above, which is enough
    assert torch.equal(found, torch.ones_like(found).tril(-1))


def test_a_small_kernel_reaches_a_rectangle_without_a_blind_spot() -> None:
    net = GatedPixelNet(1, (9, 9), width=6, layers=2, first=3).double()
    found = seen(net, draw(81, 1)).view(9, 9, 9, 9)[6, 4]
    # the first convolution looks two rows up and a column to both sides, each layer one more
    expected = torch.zeros(9, 9, dtype=torch.bool)
    expected[2:6, 1:8] = True
    expected[6, 0:4] = True
    assert torch.equal(found, expected)


@each_shape
@each_order
def test_a_token_sees_all_positions_before_it_and_no_other(shape: Shape, order: str) -> None:
    net = transformer(shape, order)
    x = draw(shape[0] * shape[1] * shape[2], 1)
    found = seen(lambda x: net(x.squeeze(-1)), x)
    assert torch.equal(found, torch.ones_like(found).tril(-1))


@each_order
def test_a_token_starts_from_the_neighbours_that_come_before(order: str) -> None:
    c, h, w, n = 2, 4, 5, 40
    visited = pixel_order(order, h, w)
    near = neighbours(visited, c, (h, w), 3)
    place = [(int(p) // w, int(p) % w, k) for p in visited for k in range(c)]
    for t, (row, column, _) in enumerate(place):
        expected = {
            i
            for i, (r, q, _) in enumerate(place[:t])
            if abs(r - row) <= 1 and abs(q - column) <= 1
        }
        assert set(near[t, 1:].tolist()) - {n} == expected
        assert int(near[t, 0]) == (t - 1 if t else n)


@torch.no_grad()
def answer(net: TwoStreams | ImageTransformer, x: Tensor) -> Tensor:
    """Return the features (B, N, F) of an evaluation piece by piece of sequences (B, N, ...)."""
    pieces = net.pieces(len(x))
    answers = x.unbind(1)
    found = [next(pieces)]
    found += [pieces.send(a) for a in answers[:-1]]
    with pytest.raises(StopIteration):
        pieces.send(answers[-1])
    return torch.stack(found, 1)


@each_shape
@each_stream
@torch.no_grad()
def test_pixel_by_pixel_equals_the_whole_image(name: str, shape: Shape) -> None:
    net, x = streams(name, shape), draw(3, shape[1] * shape[2], shape[0])
    torch.testing.assert_close(answer(net, x), net(x), rtol=1e-12, atol=1e-12)


@each_shape
@each_order
@pytest.mark.parametrize("size", [1, 3])
@torch.no_grad()
def test_block_by_block_equals_the_whole_image(shape: Shape, order: str, size: int) -> None:
    net, x = transformer(shape, order), draw(3, shape[0] * shape[1] * shape[2])
    caches, known = net.caches(len(x)), net.padded(torch.zeros_like(x))
    found = []
    for positions in torch.arange(x.shape[1]).split(size):
        block = slice(int(positions[0]), int(positions[-1]) + 1)
        known[:, block] = torch.rand_like(
            x[:, block]
        )  # a wrong guess, which the next one replaces
        net.block(known, block, caches)
        known[:, block] = x[:, block]
        found.append(net.block(known, block, caches))
    torch.testing.assert_close(torch.cat(found, 1), net(x), rtol=1e-12, atol=1e-12)


def test_each_convolution_is_computed_once_per_position() -> None:
    net, x = streams("pyramid", (1, 8, 8)), draw(2, 64, 1)
    computed = {"vertical": 0, "horizontal": 0}

    def count(conv: torch.nn.Module, _: object, out: Tensor) -> None:
        assert isinstance(conv, CausalConv)
        computed["vertical" if conv.vertical else "horizontal"] += out[0].numel()

    for m in net.modules():
        if isinstance(m, CausalConv):
            m.register_forward_hook(count)
    answer(net, x)
    once = computed.copy()
    computed.update(vertical=0, horizontal=0)
    net(x)
    # a strided convolution computes the positions that it skips as well: less than a tenth of all
    assert all(once[k] <= 1.1 * computed[k] for k in once)
