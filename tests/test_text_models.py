"""Theorems about the transformer on symbols, and about texts of all autoregressive models."""

import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from gdl.audit.causality import depends_on_earlier_only
from gdl.audit.enumeration import sums_to_one
from gdl.audit.subjects import all_images
from gdl.distributions import (
    Bernoulli,
    Categorical,
    DiscretizedLogisticMixture,
    Truncated,
    default_conditional,
)
from gdl.errors import GdlError
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.drawing import Drawing
from gdl.families.windows import continuations, window_start
from gdl.models import FVSBN, MADE, NADE, PixelCNN, Transformer, transformer
from gdl.nn.attention import Rotary
from gdl.noise import SampleNoise

LETTERS = 3
OPTIONS: dict[str, dict[str, Any]] = {
    f"{positions}-{mlp}-{kind}": {"positions": positions, "mlp": mlp, **more}
    for positions, mlp, (kind, more) in itertools.product(
        ("learned", "rotary"),
        ("gelu", "swiglu"),
        {
            "numbers": {"window": 3},
            "tokens": {"tokens": True},
            "tied": {"tokens": True, "tied": True},
        }.items(),
    )
}
PAIRWISE = [  # every two options stand together in one of them
    *("learned-gelu-numbers", "rotary-swiglu-numbers", "learned-swiglu-tokens"),
    *("rotary-gelu-tokens", "learned-gelu-tied", "rotary-swiglu-tied"),
]
each_option = pytest.mark.parametrize("option", PAIRWISE)
OTHERS = {
    "fvsbn": lambda shape, levels: FVSBN(shape, levels),
    "made": lambda shape, levels: MADE(shape, levels, hidden=[60]),
    "nade": lambda shape, levels: NADE(shape, levels, hidden=5),
    "fvsbn-tokens": lambda shape, levels: FVSBN(shape, levels, tokens=True),
    "made-tokens": lambda shape, levels: MADE(shape, levels, hidden=[60], tokens=True),
    "nade-tokens": lambda shape, levels: NADE(shape, levels, hidden=5, tokens=True),
    "pixelcnn": lambda shape, levels: PixelCNN(shape, levels, width=6, layers=2, hidden=5),
}


@torch.no_grad()
def randomised(model: AutoregressiveModel, size: float = 0.7) -> AutoregressiveModel:
    torch.manual_seed(0)
    for p in model.parameters():
        p.add_(size * torch.randn_like(p))
    return model.double().eval()


def build(
    option: str, length: int = 3, levels: int = LETTERS, size: float = 0.7, **more: Any
) -> Transformer:
    torch.manual_seed(0)
    options = {"width": 8, "blocks": 2, "heads": 2, "dropout": 0.5, **OPTIONS[option], **more}
    model = randomised(Transformer((1, 1, length), levels, **options), size)
    assert isinstance(model, Transformer)
    return model


def windows(n: int, length: int, levels: int = LETTERS) -> Tensor:
    g = torch.Generator().manual_seed(1)
    return torch.randint(levels, (n, 1, 1, length), dtype=torch.uint8, generator=g)


# ---- density


@each_option
@torch.no_grad()
def test_probabilities_of_all_strings_sum_to_one(option: str) -> None:
    shape = (1, 1, 3)
    log_p = build(option).log_prob(all_images(shape, LETTERS))
    assert sums_to_one(-log_p, shape, LETTERS, 1e-9).passed
    assert log_p.std() > 0.3


@each_option
def test_a_symbol_depends_on_all_before_it_and_on_none_after(option: str) -> None:
    model = build(option, length=7, levels=5)
    found = depends_on_earlier_only(model)
    assert found.passed, found.reason
    x = windows(1, 7, 5)
    first = x.clone()
    first[..., 0] = (first[..., 0] + 1) % 5
    params, changed = (model.params(model.sequence(t)) for t in (x, first))
    assert ((params - changed).abs().amax((0, 2))[1:] > 1e-9).all(), "it forgets the first symbol"


@each_option
@torch.no_grad()
def test_a_window_has_its_log_prob_in_every_batch(option: str) -> None:
    model, x = build(option, length=9, levels=40, likelihood=Categorical), windows(12, 9, 40)
    alone = torch.cat([model.log_prob(one) for one in x.split(1)])
    torch.testing.assert_close(model.log_prob(x), alone, rtol=1e-12, atol=1e-12)
    model = model.float()
    alone = torch.cat([model.log_prob(one) for one in x.split(1)])
    torch.testing.assert_close(model.log_prob(x), alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("levels", [33, 256])
@torch.no_grad()
def test_many_levels_are_scored_like_few(levels: int) -> None:
    torch.manual_seed(0)
    likelihood = Categorical((1, 5, 1), levels)
    params = 3 * torch.randn(7, levels, 1, 1, dtype=torch.float64)
    x = torch.randint(levels, (7, 1, 1, 1)).to(torch.uint8)
    expected = params.log_softmax(1).gather(1, x.long()).flatten()
    torch.testing.assert_close(likelihood.log_prob(params, x), expected)
    torch.testing.assert_close(likelihood.log_prob(params[None], x)[0], expected)


@torch.no_grad()
def test_rotary_products_depend_on_the_distance_only() -> None:
    rotary = Rotary(12, 6).double()
    q, k = torch.randn(2, 1, 6, dtype=torch.float64)
    products = rotary(q.expand(12, -1)) @ rotary(k.expand(12, -1)).T
    for distance in range(-11, 12):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-6)
    assert products[0].diff().abs().min() > 1e-4
    torch.testing.assert_close(rotary(q.expand(3, -1), 5), rotary(q.expand(12, -1))[5:8])
    # the plane of features 0 and 3 turns by one radian per position
    turned = rotary(torch.eye(6, dtype=torch.float64)[:1].expand(12, -1))
    angle = torch.arange(12, dtype=torch.float64)
    torch.testing.assert_close(turned[:, 0], angle.cos(), rtol=0, atol=1e-6)
    torch.testing.assert_close(turned[:, 3], angle.sin(), rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_rotary_model_of_symbols_has_no_position_of_its_own() -> None:
    """One block, in which a key sees a single symbol: a repeated text looks alike everywhere."""
    model = build("rotary-gelu-tokens", length=8, blocks=1)
    s = torch.ones(1, 8, 1, dtype=torch.uint8)
    model.net.embedding.weight[LETTERS] = model.net.embedding.weight[1]  # of the beginning
    params = model.params(s)
    torch.testing.assert_close(params, params[:, :1].expand_as(params))
    learned = build("learned-gelu-tokens", length=8, blocks=1)
    assert learned.params(s).std(1).max() > 0.01


@pytest.mark.parametrize("option", ["learned-gelu-tied", "rotary-swiglu-tokens"])
def test_a_compiled_model_gives_the_same_losses(option: str) -> None:
    model, x = build(option, length=6, dropout=0.0, blocks=1), windows(4, 6)
    names, loss = list(model.state_dict()), model.loss(x)["loss"]
    for child in model.children():  # the compiler's own code takes half a minute
        child.compile(backend="aot_eager")
    compiled = model.loss(x)["loss"]
    torch.testing.assert_close(compiled, loss)
    compiled.mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert list(model.state_dict()) == names


# ---- start


def test_the_weights_start_as_in_gpt2_and_matrices_alone_decay() -> None:
    torch.manual_seed(0)
    for mlp in ("gelu", "swiglu"):
        model = Transformer((1, 1, 16), 70, width=128, blocks=8, tokens=True, mlp=mlp)
        for name, parameter in model.named_parameters():
            p = parameter.detach()
            if name.endswith(("out.weight", "mlp.3.weight")):
                assert float(p.std()) == pytest.approx(0.02 / 4, rel=0.05)
            elif p.dim() > 1 and name != "bias":
                assert float(p.std()) == pytest.approx(0.02, rel=0.05), name
            elif "norm" not in name and "last" not in name and "mlp.0" not in name:
                assert not p.any(), name
        decaying, others = model.parameter_groups()
        assert others["weight_decay"] == 0
        found = [*decaying["params"], *others["params"]]
        assert sorted(map(id, found)) == sorted(map(id, model.parameters()))
        assert model.bias in set(others["params"])
        assert {p.dim() for p in decaying["params"]} == {2}


@torch.no_grad()
def test_it_starts_with_the_frequencies_of_the_symbols() -> None:
    model = Transformer((1, 1, 4), 40, tokens=True, width=8)
    x = (windows(5000, 4, 40).float() ** 2 / 40).to(torch.uint8)
    model.initialize(x)
    p = model.bias.softmax(-1).squeeze(0)
    frequencies = torch.bincount(x.flatten().long(), minlength=40) / x.numel()
    torch.testing.assert_close(p, frequencies, rtol=0, atol=1e-3)


def test_both_mlps_have_as_many_weights_and_tying_saves_the_output() -> None:
    def count(**options: Any) -> int:
        model = Transformer((1, 1, 16), 70, width=96, tokens=True, **options)
        return sum(p.numel() for p in model.parameters())

    assert count(mlp="swiglu") == pytest.approx(count(), rel=0.01)
    assert count() - count(tied=True) == 70 * 96 + 70
    assert count() - count(positions="rotary") == 16 * 96


@pytest.mark.parametrize(
    ("shape", "levels", "expected"),
    [
        ((1, 1, 9), 65, True),
        ((1, 1, 9), 4, True),
        ((1, 1, 9), 2, False),
        ((1, 3, 3), 256, False),
        ((3, 1, 3), 65, False),
    ],
)
def test_only_a_row_of_several_levels_is_text_by_itself(
    shape: tuple[int, ...], levels: int, expected: bool
) -> None:
    model = Transformer(shape, levels, tokens=None)
    assert model.tokens is expected
    assert model.description()["tokens"] is expected
    assert isinstance(model.likelihood, Categorical) is expected
    assert not Transformer(shape, levels).tokens, "old checkpoints have no such argument"
    other = Transformer(shape, levels, tokens=True, likelihood=DiscretizedLogisticMixture)
    assert isinstance(other.likelihood, DiscretizedLogisticMixture)


@pytest.mark.parametrize("alphabet", ["characters", None])
def test_a_small_alphabet_is_text_too(alphabet: str | None) -> None:
    likelihood = partial(default_conditional, alphabet=alphabet)
    model = Transformer((1, 1, 8), 5, likelihood, tokens=None)
    assert model.tokens
    assert isinstance(model.likelihood, Categorical)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": "sines"}, "model.positions must be learned or rotary, got 'sines'"),
        ({"mlp": "relu"}, "model.mlp must be gelu or swiglu, got 'relu'"),
        ({"positions": "rotary", "width": 12, "heads": 4}, "use model.width=16"),
        ({"tied": True}, "set model.tokens=true and likelihood=categorical too"),
        (
            {"tied": True, "tokens": True, "likelihood": DiscretizedLogisticMixture},
            "likelihood=categorical",
        ),
    ],
)
def test_options_that_do_not_fit_name_the_fix(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GdlError, match=message):
        Transformer((1, 1, 9), 65, **options)


# ---- sampling


@each_option
@pytest.mark.parametrize("known", [0, 1, 4])
@pytest.mark.parametrize("size", [1, 3])
@torch.no_grad()
def test_cached_parameters_are_those_of_a_whole_pass(
    option: str, known: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformer, "block_size", lambda *_: size)
    model = build(option, length=9)
    s = model.sequence(windows(5, 9))
    steps, found = model.steps_after(s[:, :known]), {}
    start, params = next(steps)
    assert start == known
    while True:
        found |= {start + i: params[:, i] for i in range(params.shape[1])}
        try:
            start, params = steps.send(s[:, start : start + params.shape[1]])
        except StopIteration:
            break
    cached = torch.stack([found[i] for i in range(known, 9)], 1)
    torch.testing.assert_close(cached, model.params(s)[:, known:], rtol=1e-10, atol=1e-10)


@each_option
@torch.no_grad()
def test_cached_draws_are_those_of_whole_passes(option: str) -> None:
    model = build(option, length=20, size=0.3)
    for how in ({}, {"top_k": 2}, {"top_p": 0.7}, {"temperature": 0.5, "top_p": 0.9}):
        fast, naive = (model.sample(9, seed=2, naive=o, **how) for o in (False, True))
        assert torch.equal(fast, naive)
        assert torch.equal(fast[:4], model.sample(4, seed=2, **how))


def texts(model: AutoregressiveModel, n: int, prompt: Tensor, length: int, **how: Any) -> Tensor:
    """Return the prompt (T,) and what follows it, (n, T + length)."""
    indices = how.pop("indices", None)
    drawn = continuations(model, n, prompt, Drawing(**how), indices=indices)
    new = torch.stack([*itertools.islice(drawn, length)], 1)
    return torch.cat([prompt.expand(n, -1), new], 1)


def truncated_contexts(model: AutoregressiveModel, text: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield (t, parameters (n, P)) of each symbol of texts (n, T), in a window of its own."""
    length = model.num_positions
    for t in range(text.shape[1]):
        start = window_start(t, length)
        s = torch.zeros(len(text), length, 1, dtype=torch.uint8)
        s[:, : t - start, 0] = text[:, start:t]
        yield t, model.params(s)[:, t - start]


def texts_by_definition(
    model: AutoregressiveModel, n: int, prompt: Tensor, length: int, seed: int
) -> Tensor:
    """Return what `texts` should, from a whole pass over a truncated context for every symbol."""
    size, text = model.num_positions, prompt.expand(n, -1)
    stride, source = size - size // 2, SampleNoise(seed, range(n), dtype=model.dtype)
    noise = [model.likelihood.noise(source, size, 1)]
    first = window_start(len(prompt), size)
    for t in range(len(prompt), len(prompt) + length):
        start = window_start(t, size)
        s = torch.zeros(n, size, 1, dtype=torch.uint8)
        s[:, : t - start, 0] = text[:, start:]
        window = (start - first) // stride
        if window == len(noise):
            noise.append(model.likelihood.noise(source, stride, 1))
        at = t - start - (size // 2 if window else 0)
        params = model.params(s)[:, t - start, :, None, None]
        value = model.likelihood.draw(params, noise[window][:, :, at : at + 1])
        text = torch.cat([text, value.flatten(1)], 1)
    return text


def test_a_window_is_left_when_it_is_full() -> None:
    for length in (1, 2, 3, 4, 7, 8):
        for t in range(50):
            start = window_start(t, length)
            assert 0 <= start <= t
            assert t - start < length, "the symbol itself is in its window"
            assert t < length or t - start >= length // 2
            assert start == 0 or start >= window_start(t - 1, length)


TEXTS = [(o, None) for o in PAIRWISE] + [(None, name) for name in OTHERS]


@pytest.mark.parametrize("size", [4, 7])
@pytest.mark.parametrize(("option", "other"), TEXTS, ids=lambda v: str(v))
@torch.no_grad()
def test_a_text_longer_than_the_window_is_recomputed_with_a_truncated_context(
    option: str | None, other: str | None, size: int
) -> None:
    if option is not None:
        model: AutoregressiveModel = build(option, length=size, size=0.3)
    else:
        torch.manual_seed(0)
        model = randomised(OTHERS[str(other)]((1, 1, size), LETTERS))
    for prompt in (0, 2, size, 3 * size + 1):
        given = windows(1, prompt).flatten()
        found = texts(model, 3, given, 4 * size, seed=5)
        expected = texts_by_definition(model, 3, given, 4 * size, seed=5)
        assert torch.equal(found, expected)
        assert torch.equal(found, texts(model, 3, given, 4 * size, seed=5, naive=True))
        assert torch.equal(found[1:2], texts(model, 1, given, 4 * size, seed=5, indices=[1]))
        assert not torch.equal(found, texts(model, 3, given, 4 * size, seed=6))
        if prompt < size:
            image = torch.zeros(1, 1, size, dtype=torch.uint8)
            image[..., :prompt] = given
            known = torch.arange(size).view(1, 1, -1) < prompt
            within = model.sample_given(3, image, known, seed=5)
            assert torch.equal(found[:, :size], within.flatten(1))


@pytest.mark.parametrize("option", ["learned-gelu-tied", "rotary-swiglu-tokens"])
@torch.no_grad()
def test_texts_have_the_probability_of_their_truncated_contexts(option: str) -> None:
    model = build(option, length=2)
    text = all_images((5,), LETTERS)
    log_p = torch.zeros(len(text), dtype=torch.float64)
    for t, params in truncated_contexts(model, text):
        log_p += params.log_softmax(-1).gather(1, text[:, t : t + 1].long()).squeeze(1)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)
    n = 20_000
    drawn = texts(model, n, torch.zeros(0, dtype=torch.uint8), 5)
    number = (drawn.long() * LETTERS ** torch.arange(4, -1, -1)).sum(1)
    l1 = (torch.bincount(number, minlength=len(text)) / n - log_p.exp()).abs().sum()
    assert l1 < math.sqrt(2 / (math.pi * n)) * log_p.mul(0.5).exp().sum() + 4 / math.sqrt(n)
    assert (log_p.exp() - 1 / len(text)).abs().sum() > 10 / math.sqrt(n)


def test_texts_of_other_models_are_refused() -> None:
    nothing = torch.zeros(0, dtype=torch.uint8)
    for model, message in [
        (Transformer((1, 2, 4), 3), "images"),
        (Transformer((1, 1, 8), 3, order="random"), "use order=raster"),
        (MADE((1, 1, 8), 2, hidden=[8], num_masks=2), "use model.num_masks=1"),
    ]:
        with pytest.raises(GdlError, match=message):
            continuations(model, 1, nothing, Drawing())
    with pytest.raises(GdlError, match="top_p"):
        continuations(Transformer((1, 1, 8), 3), 1, nothing, Drawing(top_p=2.0))


@torch.no_grad()
def test_a_conditional_model_of_text_goes_on_in_its_class() -> None:
    model = randomised(Transformer((1, 1, 4), LETTERS, tokens=True, width=8, num_classes=2))
    prompt = windows(1, 3).flatten()

    def draw(label: int | None) -> Tensor:
        drawn = continuations(model, 40, prompt, Drawing(), label=label)
        return torch.stack([*itertools.islice(drawn, 9)], 1)

    first, second, either = draw(0), draw(1), draw(None)
    assert not torch.equal(first, second)
    of_one = (either == first).all(1) | (either == second).all(1)
    assert of_one.all()


# ---- truncation

LIKELIHOODS = {"bernoulli": (Bernoulli, 2), "mixture": (DiscretizedLogisticMixture, 6)}
LIKELIHOODS |= {"categorical": (Categorical, 6)}


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"),
    [(2, 1.0, 1.0), (None, 0.6, 1.0), (3, 0.8, 0.7), (None, 0.3, 1.0), (99, 0.99, 2.0)],
)
@torch.no_grad()
def test_truncated_draws_follow_the_most_likely_levels(
    likelihood: str, channels: int, top_k: int | None, top_p: float, temperature: float
) -> None:
    torch.manual_seed(3)
    kind, levels = LIKELIHOODS[likelihood]
    full = kind((channels, 1, 1), levels)
    params = torch.randn(1, full.num_params, 1, 1, dtype=torch.float64)
    n = 20_000
    draws = Truncated(full, top_k, top_p, temperature)
    noise = temperature * draws.noise(SampleNoise(0, range(n), dtype=torch.float64), 1, 1)
    x = draws.draw(params.expand(n, -1, -1, -1), noise)
    assert (x.dtype, x.shape) == (torch.uint8, (n, channels, 1, 1))
    for c in range(channels):
        same = (x[:, :c] == x[:1, :c]).flatten(1).all(1)  # channels may depend on earlier ones
        p = full.probabilities(params, x[:1, :c]).flatten()
        p = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
        kept, total = torch.zeros_like(p), 0.0
        best = p.argsort(descending=True).tolist()[: top_k or levels]
        whole = sum(float(p[v]) for v in best)
        for v in best:
            if total < top_p:
                kept[v] = p[v]
            total += float(p[v]) / whole
        expected = kept / kept.sum()
        found = torch.bincount(x[same, c].flatten().long(), minlength=levels) / same.sum()
        assert not found[kept == 0].any(), "a level that was cut off is never drawn"
        assert (found - expected).abs().sum() < 6 * math.sqrt(levels / int(same.sum()))


@each_option
@torch.no_grad()
def test_the_most_likely_value_alone_is_the_temperature_zero(option: str) -> None:
    model = build(option, length=12, size=0.3)
    (best,) = model.sample(3, temperature=0).unique(dim=0)
    for how in ({"top_k": 1}, {"top_p": 1e-9}, {"temperature": 0, "top_k": 2}):
        (found,) = model.sample(3, seed=7, **how).unique(dim=0)
        assert torch.equal(found, best)


@each_option
@torch.no_grad()
def test_without_truncation_draws_are_plain(option: str) -> None:
    model = build(option, length=12, size=0.3, likelihood=Categorical)
    plain = model.sample(20, temperature=0.8)
    for how in ({"top_p": 1.0}, {"top_p": 1 - 1e-12}, {"top_k": LETTERS}, {"top_k": 10**9}):
        assert torch.equal(model.sample(20, temperature=0.8, **how), plain)
    assert not torch.equal(model.sample(20, temperature=0.8, top_k=2), plain)


def test_truncations_that_keep_nothing_name_the_fix() -> None:
    model = FVSBN((1, 1, 4), 2)
    with pytest.raises(GdlError, match="top_k=0 keeps no value: use 1 or more"):
        model.sample(1, top_k=0)
    for top_p in (0.0, -1.0, 1.5, math.nan):
        with pytest.raises(GdlError, match="use one above 0, up to 1"):
            model.sample(1, top_p=top_p)
    assert default_conditional((1, 1, 1), 40).num_params > 1
