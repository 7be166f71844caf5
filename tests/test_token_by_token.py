"""The fast form of a transformer's cached step, held against whole passes of the readable one."""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gdl.families.drawing import Drawing
from gdl.families.windows import continuations
from gdl.kernels import products
from gdl.models import Transformer

LEVELS, LENGTH = 5, 10
KINDS = {"numbers": {"window": 3}, "tokens": {"tokens": True}}
KINDS["tied"] = {"tokens": True, "tied": True}
OPTIONS: dict[str, dict[str, Any]] = {
    f"{positions}-{mlp}-{kind}-{classes} classes": {
        **more,
        **{"positions": positions, "mlp": mlp, "num_classes": classes},
    }
    for positions, mlp, (kind, more), classes in itertools.product(
        ("learned", "rotary"), ("gelu", "swiglu"), KINDS.items(), (0, 3)
    )
}
PAIRWISE = [  # every two options stand together in one of them
    *("learned-gelu-numbers-0 classes", "rotary-swiglu-numbers-3 classes"),
    *("learned-swiglu-tokens-3 classes", "rotary-gelu-tokens-0 classes"),
    *("learned-gelu-tied-3 classes", "rotary-swiglu-tied-0 classes"),
]
each_option = pytest.mark.parametrize("option", PAIRWISE)


def build(option: str, width: int = 12) -> Transformer:
    torch.manual_seed(0)
    options = {"width": width, "blocks": 2, "heads": 2, "dropout": 0.5, **OPTIONS[option]}
    model = Transformer((1, 1, LENGTH), LEVELS, **options).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5 * torch.randn_like(p) / max(1, p.shape[-1] / 12) ** 0.5)
    return model


def cached(model: Transformer, s: Tensor, known: int, y: Tensor | None) -> Tensor:
    """Return the parameters (n, N - known, P) as sampling has them, of given symbols (n, N, 1)."""
    steps, found = model.steps_after(s[:, :known], y), []
    try:
        start, params = next(steps)
        while True:
            found = [*found[: start - known], *params.unbind(1)]
            start, params = steps.send(s[:, start : start + params.shape[1]])
    except StopIteration:
        return torch.stack(found, 1)


@each_option
@pytest.mark.parametrize(("n", "known"), [(1, 0), (1, 4), (70, 3)])
def test_parameters_are_those_of_a_whole_pass(option: str, n: int, known: int) -> None:
    model = build(option).double()
    with torch.inference_mode():
        s = torch.randint(LEVELS, (n, LENGTH, 1), dtype=torch.uint8)
        y = torch.arange(n) % 3 if model.num_classes else None
        found, expected = cached(model, s, known, y), model.params(s, y)[:, known:]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("amd", [False, True])
@pytest.mark.parametrize(
    "option", ["learned-gelu-tied-0 classes", "rotary-swiglu-tokens-3 classes"]
)
def test_a_single_wide_draw_has_the_parameters_of_a_whole_pass(
    option: str, amd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if amd and not torch.backends.mkldnn.is_available():
        pytest.skip("torch has no oneDNN")
    monkeypatch.setattr(products, "_prefers_onednn", lambda: amd)
    model = build(option, width=320)
    assert model.net.blocks[0].qkv.weight.numel() > products.LARGE_FOR_A_ROW  # pyright: ignore
    s, y = torch.randint(LEVELS, (1, LENGTH, 1), dtype=torch.uint8), torch.tensor([1])
    given = y if model.num_classes else None
    with torch.inference_mode():
        found, expected = cached(model, s, 2, given), model.params(s, given)[:, 2:]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


HOW = ({"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.8}, {"top_k": 3, "temperature": 0.7}, {})
DRAWS = [(option, HOW[k % len(HOW)], 1 + k // 2 % 2) for k, option in enumerate(PAIRWISE)]


@pytest.mark.parametrize(("option", "how", "n"), DRAWS, ids=str)
def test_draws_are_those_of_whole_passes(option: str, how: dict[str, Any], n: int) -> None:
    model = build(option).double()
    prompt = torch.tensor([1, 0, 4], dtype=torch.uint8)
    label = 2 if model.num_classes else None
    drawn = [
        torch.stack([*itertools.islice(symbols, 2 * LENGTH)], 1)
        for symbols in (
            continuations(model, n, prompt, Drawing(7, naive=naive, **how), label=label)
            for naive in (False, True)
        )
    ]
    assert torch.equal(*drawn)
    assert torch.equal(*(model.sample(n, label=label, naive=k, **how) for k in (False, True)))


@pytest.mark.parametrize("amd", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("rows", "shape"), [(1, (30, 20)), (1, (400, 300)), (3, (400, 300))])
def test_the_product_of_few_rows_is_a_linear_layer(
    rows: int, shape: tuple[int, int], bias: bool, amd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_prefers_onednn", lambda: amd)
    weight, x = torch.randn(shape) / shape[1] ** 0.5, torch.randn(rows, shape[1])
    b = torch.randn(shape[0]) if bias else None
    with torch.no_grad():
        product = products.row_product(weight, b, rows)
        for scale in (1.0, -2.0):
            found = product(scale * x)
            torch.testing.assert_close(found, F.linear(scale * x, weight, b), rtol=1e-5, atol=1e-5)
