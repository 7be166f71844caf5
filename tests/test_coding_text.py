"""Texts of any length come back byte for byte, and take the bits of the model's conditionals."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_texts import CHARACTERS, MODELS, build_text_model, some_text
from torch import Tensor

from gdl import coding
from gdl.coding import sliding
from gdl.coding.container import pack, unpack
from gdl.coding.tables import PRECISION, RangeEncoder
from gdl.data.alphabets import Alphabet
from gdl.errors import GdlError
from gdl.evaluation.streams import stream_nats
from gdl.families import GenerativeModel
from gdl.models import MADE, VAE, Transformer

pytest.importorskip("constriction", reason="coding needs the extra gdl[coding]")

WINDOW = 6
LENGTHS = [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 5]
CODABLE = [name for name in MODELS if "masks" not in name]
ODD = "\n\r ab\xe9\ufeff"
"""An alphabet with what many programs change: carriage returns and a byte order mark."""

CONTENTS: dict[str | None, list[bytes]] = {
    ODD: [t.encode() for t in ("a\r\nb\r\n", "\ufeffab\xe9\n", "a\rb\n\r\n", "\n" * 20, "a")],
    None: [bytes(range(256)), b"\xff\xfe\0a\r\n", b"\0" * 9, "\ufeff\u20ac\n".encode(), b"\xe9"],
}


def text_of(length: int, seed: int = 0) -> bytes:
    return some_text(length, seed).encode()


@pytest.mark.parametrize("characters", [CHARACTERS, None], ids=["characters", "bytes"])
@pytest.mark.parametrize("name", CODABLE)
def test_texts_of_any_length_come_back(name: str, characters: str | None) -> None:
    model = build_text_model(name, WINDOW, characters)
    for length in LENGTHS:
        for stride, parts in ((None, None), (1, 1), (WINDOW, 3), (4, 5)):
            content = text_of(length, seed=parts or 0) if stride != 4 else b"\n" * length
            done = coding.compress_texts(model, [content], ["a"], stride=stride, parts=parts)
            found, header = coding.decompress_texts(model, done.content)
            assert found == [content], (length, stride, parts)
            assert header.count == 1
            assert header.names == ("a",)


@pytest.mark.parametrize("characters", CONTENTS, ids=["characters", "bytes"])
def test_files_that_programs_like_to_change_come_back(characters: str | None) -> None:
    model, contents = build_text_model("made", WINDOW, characters), CONTENTS[characters]
    names = [f"{i}" for i in range(len(contents))]
    done = coding.compress_texts(model, [*contents, b""], [*names, "empty"], parts=2)
    assert coding.decompress_texts(model, done.content)[0] == [*contents, b""]


# ---- what a text costs


class Recorder:
    """Adds up the bits of the symbols that are coded."""

    def __init__(self) -> None:
        self.bits = 0.0

    def code(self, table: np.ndarray, symbols: Tensor) -> Tensor:
        chosen = np.take_along_axis(table, symbols.numpy()[:, None].astype(np.int64), 1)
        self.bits += float((PRECISION - np.log2(chosen + 1)).sum())
        return symbols


def conditionals(model: Any, text: Tensor, stride: int) -> Iterator[float]:
    """Yield -log2 p of each symbol of a text in the first window, of 0, stride, ..., that has it."""
    window = model.num_dims
    for t in range(len(text)):
        start = next(s for s in range(0, t + 1, stride) if t < s + window)
        assert t - start >= min(t, window - stride)
        x = torch.zeros(window, dtype=torch.uint8)
        x[: t + 1 - start] = text[start : t + 1]
        # log p(x_i | x_<i) as the difference of two probabilities of a rest
        place, i = torch.arange(window), t - start
        masks = [(place < k).view(model.shape) for k in (i, i + 1)]
        rests = [float(model.log_prob_given(x.view(1, *model.shape), m)) for m in masks]
        yield (rests[1] - rests[0]) / math.log(2)


@pytest.mark.parametrize(("stride", "parts"), [(3, 1), (1, 1), (5, 2), (6, 3), (3, 4)])
@pytest.mark.parametrize("name", CODABLE)
@torch.inference_mode()
def test_the_bits_are_the_sum_of_the_conditionals(name: str, stride: int, parts: int) -> None:
    model: Any = build_text_model(name, WINDOW)
    content = (
        text_of(9) + b"\n" * 10 + text_of(9, 1)
    )  # the new line is symbol 0, which steps guess
    text = Alphabet(CHARACTERS).encode(content.decode())
    sizes = [len(text) // parts + (k < len(text) % parts) for k in range(parts)]
    expected = sum(sum(conditionals(model, part, stride)) for part in text.split(sizes))
    recorder = Recorder()
    sliding.code_symbols(model, recorder, len(text), parts, stride, text)
    assert recorder.bits == pytest.approx(expected, abs=1e-3)
    done = coding.compress_texts(model, [content], ["a"], stride=stride, parts=parts)
    assert expected - 32 < done.payload_bits < expected + 64
    if parts == 1:
        assert coding.text_bits(model, text, stride) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_long_text_costs_what_measure_stream_says(stride: int) -> None:
    model: Any = build_text_model("transformer", 8).float()
    content = text_of(8 + 4 * 100)
    text = Alphabet(CHARACTERS).encode(content.decode())
    with torch.inference_mode():
        nats = float(stream_nats(model, text, stride)[0].sum())
    assert coding.text_bits(model, text, stride) == pytest.approx(nats / math.log(2), rel=1e-6)
    done = coding.compress_texts(model, [content], ["a"], stride=stride, parts=1)
    assert done.payload_bits == pytest.approx(nats / math.log(2), rel=5e-4, abs=64)


def test_a_smaller_stride_of_a_model_that_remembers_costs_less() -> None:
    """A text that repeats what stood seven symbols before, of a model of nine that knows it."""
    model: Any = MADE((1, 1, 9), len(CHARACTERS), hidden=[8]).eval()
    model.config = {"alphabet": CHARACTERS}
    content = (text_of(7) * 40)[:200]
    encode = Alphabet(CHARACTERS).encode
    windows = encode((text_of(7) * 40).decode())[:400].unfold(0, 9, 1)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        loss = model.loss(windows[:, None, None])["loss"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bits = [coding.compress_texts(model, [content], ["a"], stride=s, parts=1) for s in (9, 4, 1)]
    assert bits[0].payload_bits > bits[1].payload_bits >= bits[2].payload_bits


@pytest.mark.parametrize(
    ("total", "window", "parts"),
    [
        *[(0, 256, 1), (1999, 64, 1), (8191, 256, 1), (100_000, 256, 24), (100_000, 64, 50)],
        *[(10**7, 32, 256), (10**7, 256, 64), (10**7, 4096, 4), (10**9, 10**6, 1)],
    ],
)
def test_long_texts_are_cut_and_short_ones_are_not(total: int, window: int, parts: int) -> None:
    assert sliding.num_parts(total, window) == parts


# ---- what is refused

MODEL = build_text_model("made", WINDOW)
WRITTEN = [text_of(40), text_of(3, 1)]
CONTENT = coding.compress_texts(MODEL, WRITTEN, ["a.txt", "b.txt"], "a/run", parts=3).content
HEADER, WORDS = unpack(CONTENT, "x")


def refused(content: bytes, model: GenerativeModel = MODEL) -> str:
    """Return the sentence with which bytes are refused."""
    with pytest.raises(GdlError) as found:
        coding.decompress_texts(model, content, "x.gdlz")
    assert str(found.value).startswith("x.gdlz ")
    assert "\n" not in str(found.value)
    return str(found.value)


def test_a_changed_or_cut_file_is_a_sentence() -> None:
    for at in range(len(CONTENT)):
        changed = bytearray(CONTENT)
        changed[at] ^= 1 << at % 8
        assert refused(bytes(changed)), at
        assert refused(CONTENT[:at]), at
    assert refused(CONTENT + b"\0")


HOSTILE = {
    "texts": [
        *[None, 5, {"sizes": [40, 3]}, {"sizes": (40, 3), "stride": 3, "more": 1}],
        *[{"sizes": sizes, "stride": 3} for sizes in ((43,), (), (40, 4), (-1, 44), (40, "3"))],
        *[{"sizes": sizes, "stride": 3} for sizes in ((40, 3.0), (40, True), (10**12, 3), None)],
        *[{"sizes": (40, 3), "stride": stride} for stride in (0, -1, 2, 7, 10**9, 3.0, None)],
    ],
    "batch": [0, 2, 4, 257, 10**9],
    "count": [0, 1, 3],
    "names": [None, ("a.txt",), (5, 6)],
    "kind": ["autoregressive", "latents"],
    "shape": [(1, 1, 7), (1, 2, 3)],
    "levels": [2, 256],
    "pixels": ["0" * 64],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, vs in HOSTILE.items() for v in vs])
def test_a_header_with_a_right_checksum_and_wrong_values_is_a_sentence(key, value) -> None:
    header = replace(HEADER)
    object.__setattr__(header, key, value)
    said = refused(pack(header, WORDS))
    if key == "texts" and "exactly" in said:  # then it is at least possible
        assert value == {"sizes": (40, 4), "stride": 3} or value["stride"] == 2


@pytest.mark.parametrize("which", ["zeros", "noise", "fewer", "none"])
def test_other_words_with_a_right_checksum_are_a_sentence(which: str) -> None:
    noise = np.random.default_rng(0).integers(1, 2**32, len(WORDS), dtype=np.uint32)
    changed = {"zeros": 0 * WORDS, "noise": noise, "fewer": WORDS[1:], "none": WORDS[:0]}
    assert "cannot be decoded exactly here" in refused(pack(HEADER, changed[which]))


def test_other_arithmetic_is_refused_and_never_gives_other_text(monkeypatch) -> None:
    as_before = type(MODEL.likelihood).probabilities  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(
        type(MODEL.likelihood),  # pyright: ignore[reportAttributeAccessIssue]
        "probabilities",
        lambda *args: as_before(*args) * 1.0001 + 1e-4,
    )
    assert "so no text was written" in refused(CONTENT)


def test_another_model_is_a_sentence_that_names_the_run() -> None:
    other = build_text_model("made", WINDOW)
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-6
    for model in (other, build_text_model("nade", WINDOW), build_text_model("made", 7)):
        assert "written with another model than this run's" in refused(CONTENT, model)
        assert "(a/run)" in refused(CONTENT, model)
    assert coding.decompress_texts(build_text_model("made", WINDOW), CONTENT)[0] == WRITTEN


def test_a_file_says_whether_it_holds_images_or_texts() -> None:
    with pytest.raises(GdlError, match=r"holds texts: decode it with .*decompress_texts"):
        coding.decompress(MODEL, CONTENT)
    images = torch.zeros(2, 1, 1, WINDOW, dtype=torch.uint8)
    content = coding.compress(MODEL, images).content
    assert "holds images" in refused(content)
    assert unpack(content, "x")[0].texts is None


def test_what_is_outside_of_the_alphabet_is_named_with_its_line() -> None:
    def complaint(content: bytes, *more: bytes) -> str:
        with pytest.raises(GdlError) as found:
            coding.compress_texts(MODEL, [*more, content], [*("b.txt" for _ in more), "a.txt"])
        assert "data.alphabet=bytes, which codes any file" in str(found.value)
        assert "\n" not in str(found.value)
        return str(found.value)

    assert "a.txt has characters outside of the run's alphabet of 6: 'x' in line 3" in complaint(
        b"ab\nc\n x x", b"ab"
    )
    assert "'\\r' in line 1" in complaint(b"a\r\nb")
    assert "'\\ufeff' in line 1, '\\u201c' in line 2;" in complaint("\ufeffa\n\u201ca".encode())
    assert "and 22 more; leave them out" in complaint(b"defghijklmnopqrstuvwxyz0123")
    assert "a.txt is not UTF-8 (byte 0xe9 at 2)" in complaint(b"ab\xe9")


def unfit(kind: str) -> GenerativeModel:
    shape, levels = (1, 1, WINDOW), len(CHARACTERS)
    model: GenerativeModel
    if kind == "order":
        model = Transformer(shape, levels, width=8, blocks=1, heads=1, order="random")
    elif kind == "masks":
        model = MADE(shape, levels, hidden=[4], num_masks=2)
    elif kind == "labels":
        model = MADE(shape, levels, hidden=[4], num_classes=3)
    elif kind == "alphabet":
        model = MADE(shape, levels + 1, hidden=[4])
    else:
        model = VAE(shape, levels, 2)
    model.config = {} if kind == "images" else {"alphabet": CHARACTERS}
    return model.eval()


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("order", "use order=raster"),
        ("masks", "use model.num_masks=1"),
        ("labels", "use a run without model.conditional"),
        ("alphabet", "checkpoint is damaged"),
        ("windows", "VAE has whole windows only: use a run of model=transformer, made, nade"),
        ("images", "other data than text: use a run of data=text"),
    ],
)
def test_a_model_that_cannot_code_texts_is_told_which_can(kind: str, sentence: str) -> None:
    with pytest.raises(GdlError, match=sentence):
        coding.compress_texts(unfit(kind), [b"a"], ["a"])


def test_numbers_out_of_range_are_refused() -> None:
    cases: list[dict[str, Any]]
    cases = [{"stride": 0}, {"stride": WINDOW + 1}, {"parts": 0}, {"parts": 257}]
    for wrong in cases:
        (name,) = wrong
        with pytest.raises(GdlError, match=rf"{name} must be a whole number from 1 to"):
            coding.compress_texts(MODEL, [b"a"], ["a"], **wrong)
    with pytest.raises(GdlError, match="no texts to compress"):
        coding.compress_texts(MODEL, [], [])


def test_a_model_with_dropped_labels_codes_texts_without_a_label() -> None:
    torch.manual_seed(0)
    model = MADE((1, 1, WINDOW), len(CHARACTERS), hidden=[8], num_classes=3, label_dropout=0.2)
    model.config = {"alphabet": CHARACTERS}
    done = coding.compress_texts(model.eval(), WRITTEN, ["a", "b"])
    assert coding.decompress_texts(model, done.content)[0] == WRITTEN


def test_the_encoder_of_no_symbols_writes_nothing() -> None:
    assert len(RangeEncoder().words()) == 0
    done = coding.compress_texts(MODEL, [b"", b""], ["a", "b"], parts=4)
    assert done.payload_bits == 0
    assert coding.decompress_texts(MODEL, done.content)[0] == [b"", b""]
