"""Theorems about all models of text: the ladder of small ones, and the transformer at its real size."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gdl.audit.enumeration import sums_to_one
from gdl.audit.subjects import all_images
from gdl.distributions import Categorical
from gdl.families.autoregressive import AutoregressiveModel
from gdl.models import FVSBN, MADE, NADE, Transformer

LADDER: dict[str, Callable[..., AutoregressiveModel]] = {
    "fvsbn": FVSBN,
    "made": lambda *a, **o: MADE(*a, hidden=[40], **o),
    "made of two layers": lambda *a, **o: MADE(*a, hidden=[40, 30], **o),
    "made of three masks": lambda *a, **o: MADE(*a, hidden=[40], num_masks=3, **o),
    "nade": lambda *a, **o: NADE(*a, hidden=9, **o),
    "transformer": lambda *a, **o: Transformer(*a, width=8, blocks=2, heads=2, dropout=0.5, **o),
}
LENGTH, LEVELS = 256, 65
each_model = pytest.mark.parametrize("name", LADDER)
each_input = pytest.mark.parametrize("tokens", [False, True], ids=["numbers", "symbols"])


@torch.no_grad()
def build(name: str, length: int, levels: int, tokens: bool) -> AutoregressiveModel:
    """Return a model in float64, in eval mode, with weights far from their start."""
    torch.manual_seed(0)
    model = LADDER[name]((1, 1, length), levels, likelihood=Categorical, tokens=tokens)
    for p in model.parameters():
        p.add_(0.7 * torch.randn_like(p))
    return model.double().eval()


def windows(n: int, length: int, levels: int) -> Tensor:
    g = torch.Generator().manual_seed(1)
    return torch.randint(levels, (n, 1, 1, length), dtype=torch.uint8, generator=g)


@each_model
@each_input
@torch.no_grad()
def test_strings_of_three_letters_sum_to_one(name: str, tokens: bool) -> None:
    log_p = build(name, 3, 3, tokens).log_prob(all_images((1, 1, 3), 3))
    assert sums_to_one(-log_p, (1, 1, 3), 3, 1e-9).passed
    assert log_p.std() > 0.3


@each_model
@each_input
@torch.no_grad()
def test_the_nll_of_a_window_is_its_own_in_every_batch(name: str, tokens: bool) -> None:
    model, x = build(name, 9, 40, tokens), windows(12, 9, 40)
    alone = torch.cat([model.loss(one)["nll"] for one in x.split(1)])
    torch.testing.assert_close(model.loss(x)["nll"], alone, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.loss(x.flip(0))["nll"].flip(0), alone, rtol=1e-12, atol=1e-12)
    model = model.float()
    alone = torch.cat([model.loss(one)["nll"] for one in x.split(1)])
    torch.testing.assert_close(model.loss(x)["nll"], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["fvsbn", "made", "nade"])
def test_a_model_of_symbols_learns_which_symbol_follows(name: str) -> None:
    """A text in which the next symbol is a scrambled function of the last one is easy for symbols."""
    torch.manual_seed(0)
    follows = torch.randperm(17)
    s = torch.zeros(400, 4, dtype=torch.long)
    s[:, 0] = torch.randint(17, (400,))
    for i in range(1, 4):
        s[:, i] = follows[s[:, i - 1]]
    x = s.to(torch.uint8).view(-1, 1, 1, 4)
    torch.manual_seed(0)
    model = LADDER[name]((1, 1, 4), 17, likelihood=Categorical, tokens=True)
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(80):
        loss = model.loss(x)["loss"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # the first symbol takes log 17 = 2.83 nats, and each of the others nothing
    assert float(loss.detach()) < 4


# ---- the transformer at its real size


@pytest.fixture(scope="module")
def transformer() -> Transformer:
    """A model of 256 symbols in float32, with dropout, whose blocks do something."""
    torch.manual_seed(0)
    options = {"width": 64, "blocks": 2, "dropout": 0.2, "positions": "rotary", "mlp": "swiglu"}
    model = Transformer((1, 1, LENGTH), LEVELS, tokens=True, tied=True, **options)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model.eval()


@pytest.mark.parametrize("place", [0, 1, 100, LENGTH - 2, LENGTH - 1])
def test_no_symbol_sees_itself_or_later_ones(transformer: Transformer, place: int) -> None:
    """The gradient of a position with respect to the weights of a symbol that stands once."""
    rare = LEVELS - 1
    x = windows(1, LENGTH, rare)
    x[..., place] = rare
    seen = transformer.net.embedding.weight
    out: list[Tensor] = []
    handle = transformer.net.register_forward_hook(lambda _m, _i, h: out.append(h))
    transformer.params(transformer.sequence(x))
    handle.remove()
    h = out[0]
    for target in sorted({0, place - 1, place} - {-1}):
        grad = torch.autograd.grad(h[:, target].square().sum(), seen, retain_graph=True)[0]
        assert not grad[rare].any(), f"position {target} sees the symbol at {place}"
    for target in range(place + 1, min(place + 2, LENGTH)):
        grad = torch.autograd.grad(h[:, target].square().sum(), seen, retain_graph=True)[0]
        assert grad[rare].any()


@torch.no_grad()
def test_cached_parameters_are_those_of_a_whole_pass(transformer: Transformer) -> None:
    s = transformer.sequence(windows(2, LENGTH, LEVELS))
    steps, found = transformer.steps_after(s[:, :10]), []
    _, params = next(steps)
    for i in range(10, LENGTH):
        found.append(params)
        if i + 1 < LENGTH:
            _, params = steps.send(s[:, i : i + 1])
    expected = transformer.params(s)[:, 10:].log_softmax(-1)
    torch.testing.assert_close(torch.cat(found, 1).log_softmax(-1), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_dropout_is_off_in_evaluation(transformer: Transformer) -> None:
    x = windows(2, LENGTH, LEVELS)
    first, second = (transformer.loss(x)["nll"] for _ in range(2))
    assert torch.equal(first, second)
    transformer.train()
    first, second = (transformer.loss(x)["nll"] for _ in range(2))
    transformer.eval()
    assert not torch.equal(first, second)
