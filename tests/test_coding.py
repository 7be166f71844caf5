"""What is coded is decoded, in another process too, and takes the bits that the model says."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import build_small
from small_texts import build_text_model, some_text
from torch import Tensor

from gdl import coding
from gdl.coding.bits_back import BASE, DIGITS, batch_sizes, middles
from gdl.coding.container import START, pack, unpack
from gdl.coding.tables import (
    PRECISION,
    RangeDecoder,
    RangeEncoder,
    Stack,
    known_words,
    tables,
)
from gdl.distributions import (
    Categorical,
    DiscretizedGaussian,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
)
from gdl.errors import GdlError
from gdl.families import GenerativeModel

pytest.importorskip("constriction", reason="coding needs the extra gdl[coding]")

# ---- the coders


def random_probabilities(n: int, levels: int, seed: int) -> Tensor:
    """Return rows (n, levels) from even to extreme; some have zeros, and sums other than 1."""
    g = torch.Generator().manual_seed(seed)
    size = 10 ** (3 * torch.randn(n, 1, generator=g, dtype=torch.float64))
    p = (size * torch.randn(n, levels, generator=g, dtype=torch.float64)).clamp(-700, 700).exp()
    p[::7, 0] = 0
    p[3] = 0
    p[4] = torch.eye(levels, dtype=torch.float64)[seed % levels]
    return p


LEVELS = [2, 3, 17, 256]


@pytest.mark.parametrize("levels", LEVELS)
def test_a_table_is_the_nearest_integers_and_leaves_nothing_out(levels: int) -> None:
    for dtype in (torch.float32, torch.float64):
        p = random_probabilities(500, levels, 0).to(dtype).clamp(max=1e30)
        counts = tables(p).astype(np.int64) + 1
        assert counts.min() >= 1
        assert (counts.sum(1) == 2**PRECISION).all()
        p = p.double().numpy()
        p[p.sum(1) == 0] = 1
        q = p / p.sum(1, keepdims=True)
        # rounded down, after 2^24 - L of 2^24; what is left goes to the likeliest
        assert np.abs(counts - q * 2**PRECISION).max() <= levels + 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_probabilities_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(GdlError, match="not finite"):
        tables(torch.tensor([[0.5, 0.5], [0.5, bad]]))


@pytest.mark.parametrize("levels", LEVELS)
def test_the_library_spends_exactly_what_the_integers_say(levels: int) -> None:
    """Pushing a symbol of frequency f that starts at c turns x into (x // f) 2^24 + c + x mod f."""
    rng = np.random.default_rng(levels)
    counts = tables(random_probabilities(200, levels, 1))
    for table in counts:
        stack, symbol = Stack(given=5), int(rng.integers(levels))
        *below, low, high = map(int, known_words(5))
        frequencies = table.astype(np.int64) + 1
        f, c, x = int(frequencies[symbol]), int(frequencies[:symbol].sum()), high << 32 | low
        if x >> (64 - PRECISION) >= f:
            below.append(x & 0xFFFFFFFF)
            x >>= 32
        x = (x // f << PRECISION) + c + x % f
        stack.push(np.array([symbol]), table[None])
        assert stack.words()[0].tolist() == [*below, x & 0xFFFFFFFF, x >> 32]


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("seed", range(3))
def test_symbols_come_back_and_cost_their_information(levels: int, seed: int) -> None:
    n, rounds = 300, 4
    g = torch.Generator().manual_seed(seed)
    made = [tables(random_probabilities(n, levels, 10 * seed + i)) for i in range(rounds)]
    uniform = torch.randint(levels, (rounds, n), generator=g, dtype=torch.uint8)
    likely = torch.stack([torch.from_numpy(t).argmax(1) for t in made]).to(torch.uint8)
    drawn = torch.where(torch.rand(rounds, n, generator=g) < 0.5, uniform, likely)

    encoder, stack = RangeEncoder(), Stack()
    information = 0.0
    for table, symbols in zip(made, drawn, strict=True):
        encoder.code(table, symbols)
        stack.push(symbols.numpy(), table)
        chosen = np.take_along_axis(table, symbols.numpy()[:, None].astype(np.int64), 1)
        information += float((PRECISION - np.log2(chosen + 1)).sum())
    words = encoder.words()
    # 2^-8 of a bit for each symbol is the coders' own, see the tests of constriction
    for found in (32 * len(words), 32 * (len(stack.words()[0]) - 2)):
        assert information - 32 < found < information + 64 + n * rounds / 256
    decoder = RangeDecoder(words)
    for table, symbols in zip(made, drawn, strict=True):
        assert torch.equal(decoder.code(table), symbols)
    for table, symbols in zip(made[::-1], drawn.flip(0), strict=True):
        assert np.array_equal(stack.pop(table), symbols.numpy())
    assert stack.is_start()


def test_what_is_popped_from_nothing_follows_the_table_and_goes_back() -> None:
    stack, made = Stack(), tables(torch.tensor([[0.5, 0.3, 0.2]]).repeat(2000, 1))
    first, second = stack.pop(made), stack.pop(made)
    share = np.bincount(np.concatenate([first, second]), minlength=3) / 4000
    assert share == pytest.approx([0.5, 0.3, 0.2], abs=0.04)
    words, used = stack.words()
    assert used > 4000 * 1.4 / 32
    again = Stack(words, used)
    again.push(second, made)
    again.push(first, made)
    assert again.is_start()
    again.push(first, made)
    assert not again.is_start()


@pytest.mark.parametrize("n", [1, 2, 3, 10, 257, 1000])
def test_batches_of_bits_back_hold_every_image_once(n: int) -> None:
    sizes = batch_sizes(n, 64)
    assert sum(sizes) == n
    assert all(0 < size <= max(1, sum(sizes[:i]) // 4) for i, size in enumerate(sizes))


def test_bins_have_middles_as_far_out_on_both_sides() -> None:
    last = BASE**DIGITS - 1
    bins = np.array([0, 1, 1000, last // 2])
    left, right = middles(bins), middles(last - bins)
    assert left.isfinite().all()
    torch.testing.assert_close(left, -right, rtol=1e-9, atol=1e-12)
    assert middles(np.arange(last // 3, last // 3 + 9)).diff().min() > 0


# ---- models

Build = Callable[..., GenerativeModel]
MODELS: dict[str, Build] = {
    **{name: partial(build_small, name) for name in ("FVSBN", "MADE", "NADE", "PixelCNN", "VAE")},
    "PixelCNNpp": partial(build_small, "PixelCNNpp", blocks=1, resolutions=2),
    "Transformer": partial(build_small, "Transformer", heads=2),
    "Transformer of symbols": partial(
        build_small, "Transformer", heads=2, tokens=True, tied=True, positions="rotary"
    ),
    "masks": partial(build_small, "MADE", num_masks=3, order="random", hidden=[10, 12]),
    **{
        f"labelled {name}": partial(build_small, name, num_classes=4)
        for name in ("FVSBN", "MADE", "NADE", "PixelCNN")
    },
    "labelled masks": partial(build_small, "MADE", num_masks=2, num_classes=3, hidden=[10]),
    "label dropout": partial(build_small, "MADE", num_classes=3, label_dropout=0.1),
    "hilbert": partial(build_small, "MADE", order="hilbert", hidden=[10, 12]),
}
OTHERS = {
    "logistic": DiscretizedLogistic,
    "mixture": DiscretizedLogisticMixture,
    "gaussian": DiscretizedGaussian,
    "categorical": Categorical,
}
IMAGES = [((1, 5, 4), 2), ((3, 2, 2), 2), ((1, 5, 4), 17), ((3, 2, 2), 256), ((1, 3, 3), 256)]
CASES = [(name, shape, levels, None) for name in MODELS for shape, levels in IMAGES]
CASES = [case for case in CASES if case[0][0].isupper() or case[1:3] in IMAGES[2:4]]
CASES += [
    (name, shape, levels, other)
    for name in ("MADE", "PixelCNNpp", "VAE")
    for shape, levels in IMAGES[2:4]
    for other in OTHERS
]


@torch.no_grad()
def build(
    name: str, shape: tuple[int, ...], levels: int, other: str | None = None
) -> GenerativeModel:
    """Return a model with parameters away from their start."""
    torch.manual_seed(0)
    options = {"likelihood": OTHERS[other]} if other else {}
    options |= {"latent_dim": 3} if name == "VAE" else {}
    model = MODELS[name](shape, levels, **options).eval()
    for key, p in model.named_parameters():
        if "encoder" not in key:
            p.add_(0.3 * torch.randn_like(p))
    return model


def drawn(model: GenerativeModel, n: int, seed: int = 0) -> Tensor:
    return model.sample(n, seed=seed).to(torch.uint8)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]


def bits(model: GenerativeModel, x: Tensor) -> float:
    with torch.no_grad():
        return float(model.nll(x).double().sum()) / math.log(2)


@pytest.mark.parametrize(("name", "shape", "levels", "other"), CASES)
def test_images_come_back_and_cost_their_nll(
    name: str, shape: tuple[int, ...], levels: int, other: str | None
) -> None:
    model = build(name, shape, levels, other)
    x = drawn(model, 60 if name == "VAE" else 100)
    done = coding.compress(model, x)
    y, header = coding.decompress(model, done.content)
    assert torch.equal(x, y)
    assert (header.shape, header.levels, header.count) == (shape, levels, len(x))
    if header.kind == "mixture":  # the initial bits are those of each image's component
        own, most = done.payload_bits - done.initial_bits, len(x) * math.log2(6) + 128
        assert own == pytest.approx(bits(model, x), rel=0.01, abs=64)
        assert 0 < done.initial_bits < most
    elif name != "VAE":
        assert done.payload_bits == pytest.approx(bits(model, x), rel=5e-4, abs=64)
        assert done.initial_bits == 0


@pytest.mark.parametrize(("name", "levels"), [("MADE", 2), ("NADE", 17), ("VAE", 2)])
def test_images_that_the_model_does_not_expect_come_back(name: str, levels: int) -> None:
    model = build(name, (1, 5, 4), levels)
    noise = torch.randint(levels, (20, 1, 5, 4), dtype=torch.uint8)
    flat = torch.arange(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 5, 4)
    for x in (noise, flat, noise[:1]):
        assert torch.equal(coding.decompress(model, coding.compress(model, x).content)[0], x)


@pytest.mark.parametrize("other", [None, *OTHERS])
def test_bits_back_costs_the_elbo(other: str | None) -> None:
    model = build("VAE", (1, 5, 4), 17, other)
    with torch.no_grad():  # where log p(x | z) is below -24 bits for a pixel, coding costs less
        for p in model.decoder.parameters():  # pyright: ignore[reportAttributeAccessIssue]
            p.mul_(0.3)
        # narrow posteriors, which wide bins would not hold
        dict(model.named_parameters())["encoder.5.bias"][3:] = -6
    x = drawn(model, 800)
    done = coding.compress(model, x)
    expected = np.mean([bits(model, x) for _ in range(8)])
    assert done.payload_bits - done.initial_bits == pytest.approx(expected, rel=0.004)
    assert 0 < done.initial_bits < 400  # the first image's latents, three of them


def test_the_best_posterior_costs_less_than_a_wrong_one() -> None:
    """The latents' bits do come back: with q = p(z) they cost nothing, however many there are."""
    model = build("VAE", (1, 2, 2), 2)
    with torch.no_grad():
        for p in model.decoder.parameters():  # pyright: ignore[reportAttributeAccessIssue]
            p.zero_()
        for p in model.encoder.parameters():  # pyright: ignore[reportAttributeAccessIssue]
            p.zero_()
        model.offset.zero_()  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    x = torch.randint(2, (800, 1, 2, 2), dtype=torch.uint8)
    done = coding.compress(model, x)
    assert done.payload_bits - done.initial_bits == pytest.approx(4 * 800, rel=0.002, abs=64)


# ---- another process

OTHER_PROCESS = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from test_coding import TEXT, THREADED, text_model, threaded
from gdl import coding
found, of_text = {name: threaded(name) for name in THREADED}, text_model()
torch.set_float32_matmul_precision("medium")
torch.set_default_dtype(torch.float64)
for threads in (2, 3):
    torch.set_num_threads(threads)
    for name, (model, x) in found.items():
        content = open(f"{sys.argv[2]}/{name}.gdlz", "rb").read()
        assert torch.equal(coding.decompress(model, content)[0], x), name
        assert torch.get_num_threads() == threads
        assert torch.get_default_dtype() == torch.float64
    content = open(f"{sys.argv[2]}/text.gdlz", "rb").read()
    assert coding.decompress_texts(of_text, content)[0] == [TEXT]
print("equal")
"""

THREADED = {
    "MADE": partial(build_small, "MADE", (1, 8, 8), 17, hidden=[160]),
    "VAE": partial(build_small, "VAE", (1, 8, 8), 17, latent_dim=5),
    "NADE": partial(build_small, "NADE", (1, 8, 8), 17, hidden=100),
}
"""Models whose numbers depend on the number of threads: the first two with 2, the last one with 3."""


@torch.no_grad()
def threaded(name: str) -> tuple[GenerativeModel, Tensor]:
    torch.manual_seed(0)
    model = THREADED[name]().eval()
    for p in model.parameters():
        p.add_(0.05 * torch.randn_like(p))
    return model, (torch.rand(150, 1, 8, 8) * 17).byte()


TEXT = some_text(400).encode()


def text_model() -> GenerativeModel:
    options = {"width": 64, "blocks": 1, "tokens": True, "positions": "rotary"}
    return build_text_model("transformer", 40, **options).float()


def test_a_process_with_other_threads_decodes(tmp_path: Path) -> None:
    done = coding.compress_texts(text_model(), [TEXT], ["a"], parts=8)
    (tmp_path / "text.gdlz").write_bytes(done.content)
    for name in THREADED:
        model, x = threaded(name)
        (tmp_path / f"{name}.gdlz").write_bytes(coding.compress(model, x).content)
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, str(Path(__file__).parent), tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "3"},
        timeout=200,
    )
    assert done.stdout == "equal\n", done.stderr


# ---- files that are not as they were written

SMALL = build("MADE", (1, 5, 4), 17)
WRITTEN = coding.compress(SMALL, drawn(SMALL, 10), [f"{i}.png" for i in range(10)], "a/run")
CONTENT = WRITTEN.content
HEADER, WORDS = unpack(CONTENT, "x")
SIZE = START.unpack_from(CONTENT)[2]
SECTIONS = [0, 4, 5, START.size, START.size + SIZE, len(CONTENT) - 32, len(CONTENT)]
"""Where a section of the file begins, see container.py."""


def refused(content: bytes, model: GenerativeModel = SMALL) -> str:
    """Return the sentence with which bytes are refused."""
    with pytest.raises(GdlError) as found:
        coding.decompress(model, content, "x.gdlz")
    assert str(found.value).startswith("x.gdlz ")
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_flipped_bit_in_any_byte_is_a_sentence(bit: int) -> None:
    for at in range(len(CONTENT)):
        changed = bytearray(CONTENT)
        changed[at] ^= 1 << bit
        assert refused(bytes(changed)), at


@pytest.mark.parametrize("end", sorted({e + k for e in SECTIONS[:-1] for k in (0, 1, 3)}))
def test_a_cut_file_is_a_sentence(end: int) -> None:
    assert refused(CONTENT[:end])
    assert refused(CONTENT[end:]) if end > 0 else True


def test_what_follows_the_file_is_a_sentence() -> None:
    assert "damaged" in refused(CONTENT + b"\0")
    assert "damaged" in refused(CONTENT + CONTENT)


def test_another_format_is_named() -> None:
    changed = bytearray(CONTENT)
    changed[4] = 2
    assert "format 2" in refused(bytes(changed))


HOSTILE = {
    "count": [0, -1, 9, 11, 10**9, 1.0, True, None, "10"],
    "batch": [0, 3, 10**9],
    "levels": [2, 16, 18, 256, -17],
    "shape": [(1, 4, 5), (5, 4), (1, 5, 4, 1), (0, 5, 4), (10**6, 10**6, 10**6), "154"],
    "kind": ["latents", "mixture", "pickle", None],
    "initial_words": [10**12, -1],
    "digest": ["", "0" * 64, "é" * 64],
    "pixels": ["0" * 64, 5],
    "names": [("a.png",), 5, (1,) * 10, "a" * 10],
    "run": [5, None],
}
TAMPERED = [(key, value) for key, values in HOSTILE.items() for value in values]


@pytest.mark.parametrize(("key", "value"), TAMPERED, ids=str)
def test_a_header_with_a_right_checksum_and_wrong_values_is_a_sentence(key, value) -> None:
    assert refused(pack(replace(HEADER, **{key: value}), WORDS))


@pytest.mark.parametrize("which", ["zeros", "noise", "fewer", "none"])
@pytest.mark.parametrize("name", ["MADE", "VAE"])
def test_other_words_with_a_right_checksum_are_a_sentence(name: str, which: str) -> None:
    model = build(name, (1, 5, 4), 17)
    header, words = unpack(coding.compress(model, drawn(model, 30)).content, "x")
    rng = np.random.default_rng(0)
    noise = rng.integers(1, 2**32, len(words), dtype=np.uint32)
    zeros, none = np.zeros_like(words), words[:0]
    changed = {"zeros": zeros, "noise": noise, "fewer": words[1:], "none": none}
    assert refused(pack(header, changed[which]), model)


@pytest.mark.parametrize("name", ["MADE", "VAE"])
def test_other_arithmetic_is_refused_and_never_gives_other_pixels(name: str, monkeypatch) -> None:
    model = build(name, (1, 5, 4), 17)
    content = coding.compress(model, drawn(model, 30)).content
    as_before = type(model.likelihood).probabilities  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(
        type(model.likelihood),  # pyright: ignore[reportAttributeAccessIssue]
        "probabilities",
        lambda *args: as_before(*args) * 1.0001 + 1e-5,
    )
    assert "cannot be decoded exactly here" in refused(content, model)


def test_another_model_is_a_sentence_that_names_the_run() -> None:
    other = build("MADE", (1, 5, 4), 17)
    with torch.no_grad():
        other.bias[3, 2] += 1e-6  # pyright: ignore[reportAttributeAccessIssue, reportIndexIssue]
    for model in (other, build("VAE", (1, 5, 4), 17), build("MADE", (1, 4, 5), 17)):
        assert "another model" in refused(CONTENT, model)
        assert "(a/run)" in refused(CONTENT, model)
    again = build("MADE", (1, 5, 4), 17)
    assert torch.equal(coding.decompress(again, CONTENT)[0], drawn(again, 10))


# ---- what cannot be coded

UNFIT = {
    "labelled": (partial(build_small, "VAE", (1, 8, 8), 17, num_classes=3), "conditional"),
    "Glow": (partial(build_small, "Glow", (1, 8, 8), 17), "autoregressive"),
    "Autoencoder": (partial(build_small, "Autoencoder", (1, 8, 8), 17), "autoregressive"),
    "continuous": (partial(build_small, "NICE", (2, 1, 1), None), "autoregressive"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_model_that_cannot_code_is_told_which_can(name: str) -> None:
    make, expected = UNFIT[name]
    with pytest.raises(GdlError, match=expected):
        coding.compress(make().eval(), torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (torch.zeros(0, 1, 5, 4, dtype=torch.uint8), "no images"),
        (torch.zeros(2, 1, 4, 5, dtype=torch.uint8), "shape"),
        (torch.zeros(2, 1, 5, 4), "torch.float32"),
        (torch.full((2, 1, 5, 4), 17, dtype=torch.uint8), "up to 17"),
    ],
)
def test_images_that_are_none_of_the_model_are_refused(x: Tensor, expected: str) -> None:
    with pytest.raises(GdlError, match=expected):
        coding.compress(SMALL, x)


def test_training_mode_is_refused() -> None:
    with pytest.raises(GdlError, match="eval"):
        coding.compress(build("MADE", (1, 5, 4), 17).train(), drawn(SMALL, 2))


def test_a_model_that_looks_ahead_still_gives_its_images_back() -> None:
    """The encoder shows the model only what a decoder knows, so it costs bits, not images."""
    model = build("MADE", (1, 5, 4), 17)
    with torch.no_grad():
        for layer in model.layers:  # pyright: ignore[reportAttributeAccessIssue, reportGeneralTypeIssues]
            layer.reach.fill_(layer.weight.shape[1])
    model.steps = lambda n: type(model).__mro__[1].steps(model, n)  # pyright: ignore[reportAttributeAccessIssue]
    x = drawn(SMALL, 10)
    assert torch.equal(coding.decompress(model, coding.compress(model, x).content)[0], x)
