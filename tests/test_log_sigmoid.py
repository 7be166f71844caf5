"""The fast log-sigmoid equals the exact one, and so do its derivatives, far into both tails."""

import torch
import torch.nn.functional as F

from gdl.kernels.log_sigmoid import log_sigmoid


def test_it_is_the_log_of_the_sigmoid() -> None:
    x = torch.cat(
        [torch.linspace(-120, 120, 100_001), torch.tensor([-1e30, -3e4, 0.0, 3e4, 1e30])]
    )
    exact = F.logsigmoid(x.double())
    found = log_sigmoid(x)
    assert found.isfinite().all()
    assert ((found - exact).abs() <= 1e-7 + 2**-23 * exact.abs()).all()
    assert log_sigmoid(torch.tensor(torch.nan)).isnan()


def test_its_derivatives_are_exact() -> None:
    x = torch.linspace(-30, 30, 601).requires_grad_()
    exact = x.detach().double().requires_grad_()
    (g,) = torch.autograd.grad(log_sigmoid(x).sum(), x, create_graph=True)
    (expected,) = torch.autograd.grad(F.logsigmoid(exact).sum(), exact, create_graph=True)
    torch.testing.assert_close(g, expected.float(), rtol=1e-6, atol=0)
    (g,), (expected,) = (torch.autograd.grad(v.sum(), at) for v, at in ((g, x), (expected, exact)))
    torch.testing.assert_close(g, expected.float(), rtol=1e-5, atol=1e-7)


def test_transforms_and_other_types_are_torchs_business() -> None:
    x = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(log_sigmoid))(x), torch.sigmoid(-x))
    assert torch.equal(log_sigmoid(x.double()), F.logsigmoid(x.double()))
