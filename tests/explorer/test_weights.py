"""Weights of 16 bits: what the page reads is what Python says that it reads."""

import base64

import pytest
import torch

from gdl.errors import GdlError
from gdl.explorer.graph import Graph, Weights
from gdl.explorer.weights import packed, rounded
from gdl.explorer.writer import modules


def tensors_of(size):
    """Return tensors of very different scales, of `size` numbers in the largest."""
    g = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    return [
        draw(7),
        draw(size // 100, 100),
        draw(600, 1, 2) * 1e-30,
        draw(3) * 1e30,
        draw(1000) * torch.logspace(-12, 4, 1000),
        torch.zeros(40, 20),
        torch.tensor(2.5),
        (torch.full((601,), 1.99999) * 2.0**100).double(),
        draw(900).bfloat16(),
        draw(0, 4),
    ]


READ = """([packed, old]) => {
  if (old) delete Uint8Array.fromBase64;
  return readTensors(packed).map(t => [t.shape, [...t.data]]);
}"""


@pytest.mark.parametrize("size", [1000, 40_000])
@pytest.mark.parametrize("old", [False, True])
def test_the_page_reads_the_rounded_weights(size, old, chromium):
    tensors = tensors_of(size)
    tab = chromium.new_page()
    tab.set_content("<p>")
    tab.add_script_tag(content=modules("weights") + "\nwindow.readTensors = readTensors;")
    found = tab.evaluate(READ, [packed(tensors), old])
    tab.close()
    for (shape, data), expected in zip(found, rounded(tensors), strict=True):
        assert shape == [*expected.shape]
        assert torch.equal(torch.tensor(data), expected.flatten())


@pytest.mark.parametrize("size", [1000, 40_000])
def test_rounding_changes_little_and_costs_less_than_the_bound(size):
    tensors = tensors_of(size)
    for t, r in zip(tensors, rounded(tensors), strict=True):
        assert r.dtype == torch.float32
        if t.numel():
            wrong = (t.double() - r.double()).abs()
            assert (wrong <= 2**-11 * t.double().abs() + 2**-38 * t.double().abs().max()).all()
    text, numbers = packed(tensors)["data"], sum(t.numel() for t in tensors)
    assert len(text) <= 200_000 + 2.7 * numbers
    assert len(base64.b64decode(text)) <= 4 * numbers


def test_weights_that_layers_share_are_stored_once():
    weights, t = Weights(), torch.randn(4, 4)
    graphs = [Graph(["x"], weights), Graph(["x"], weights)]
    for graph in graphs:
        graph.add("linear", 0, tensors={"weight": t, "bias": None})
        graph.add("linear", 0, tensors={"weight": t.t()})
    assert len(weights.tensors) == 2


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(wrong):
    with pytest.raises(GdlError, match="infinite or not a number"):
        Weights().add(torch.tensor([1.0, wrong]))
