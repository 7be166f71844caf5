"""Products by oneDNN equal torch's own, in every layout, with gradients of first and second order."""

import time

import pytest
import torch
from torch import Tensor

from gdl.kernels import products
from gdl.nn.linear import Linear

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN"
)


@pytest.fixture(autouse=True)
def _always_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "SMALLEST", 1)
    monkeypatch.setattr(products, "REUSED", 1)
    monkeypatch.setattr(products, "_prefers_onednn", lambda: True)


def layouts(*shape: int) -> dict[str, Tensor]:
    """Return a matrix as rows, as columns, and as a part of a larger one."""
    rows = torch.randn(shape)
    return {
        "rows": rows,
        "columns": rows.t().contiguous().t(),
        "part": torch.cat([rows, rows], 1)[:, : shape[1]],
    }


@pytest.mark.parametrize("out", [None, "rows", "columns", "part"])
@pytest.mark.parametrize("b", ["rows", "columns", "part"])
@pytest.mark.parametrize("a", ["rows", "columns", "part"])
def test_products_in_every_layout(a: str, b: str, out: str | None) -> None:
    torch.manual_seed(0)
    x, y, bias = layouts(7, 30)[a], layouts(30, 11)[b], torch.randn(7, 1)
    room = None if out is None else layouts(7, 11)[out]
    exact = x.double() @ y.double()
    found = products.mm(x, y, out=room)
    torch.testing.assert_close(found, exact.float())
    assert room is None or found.data_ptr() == room.data_ptr()
    found = products.addmm(bias, x, y, out=room)
    torch.testing.assert_close(found, (exact + bias).float())
    if room is not None:
        found = products.relu_addmm(bias, x, y, room)
        torch.testing.assert_close(found, (exact + bias).relu().float())


def test_a_bias_may_be_where_the_result_goes() -> None:
    x, y, total = torch.randn(7, 30), torch.randn(30, 11), torch.randn(7, 11)
    expected = total + x @ y
    torch.testing.assert_close(products.addmm(total, x, y, out=total), expected)
    torch.testing.assert_close(total, expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(30,), (5, 30), (2, 3, 30)])
def test_a_linear_layer_is_torchs(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    ours = Linear(30, 11, bias=bias)
    theirs = torch.nn.Linear(30, 11, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(shape)

    def derivatives(layer: torch.nn.Module) -> list[Tensor]:
        v = x.clone().requires_grad_()
        y = layer(v)
        inputs = [v, *layer.parameters()]
        first = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
        return [y, *first, *second]

    for a, b in zip(derivatives(ours), derivatives(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_frozen_weights_get_no_gradient_and_transforms_work() -> None:
    layer = Linear(30, 11)
    layer.weight.requires_grad_(False)
    x = torch.randn(5, 30, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(5, -1))
    rows = torch.func.vmap(torch.func.jacrev(layer))(x.detach())
    torch.testing.assert_close(rows, layer.weight.expand(5, -1, -1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_are_torchs_business(dtype: torch.dtype) -> None:
    layer = Linear(30, 11).to(dtype)
    x = torch.randn(5, 30, dtype=dtype)
    assert torch.equal(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


def test_mixed_precision_is_torchs_business() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert Linear(30, 11)(torch.randn(5, 30)).dtype == torch.bfloat16


def test_gaps_in_a_factor_do_not_cost_a_thousand_times_as_much() -> None:
    """Parts of larger matrices, as MADE multiplies them; oneDNN alone takes a second for these."""
    x, y = torch.randn(512, 1600)[:, :800], torch.randn(1600, 1600)[:800, :800]
    for a, b in ((x, y), (x, y.t()), (y, x.t()), (y.t(), x.t())):
        start = time.perf_counter()
        products.mm(a, b)
        assert time.perf_counter() - start < 0.3
