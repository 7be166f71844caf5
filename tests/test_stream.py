"""Bits per byte of a whole text: each symbol counts once, given the symbols before it."""

import bz2
import gzip
import json
import lzma
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from small_texts import CHARACTERS, MODELS, SmallText, build_text_model, some_text
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.coding import compressed_lengths
from gdl.comparison.streams import stream_sections
from gdl.data import Digits
from gdl.errors import GdlError
from gdl.evaluation import stream, streams
from gdl.evaluation.streams import stream_nats
from gdl.models import MADE, VAE
from gdl.runs.metrics import checked_metrics, name_of
from gdl.runs.report import likelihoods, number_texts

SIZES = [(t, w, s) for w in (1, 2, 5, 8) for s in range(1, w + 1) for t in (w, w + 1, 17, 40)]


@pytest.mark.parametrize(("total", "window", "stride"), SIZES)
def test_each_symbol_counts_once_given_enough_before_it(
    total: int, window: int, stride: int
) -> None:
    text, counted = torch.arange(total, dtype=torch.uint8), []
    for windows, known in streams._windows(text, window, stride, batch=3):
        assert windows.shape[1] == window
        assert (windows.diff(dim=1) == 1).all(), "windows are parts of the text"
        counted += windows[:, known:].flatten().tolist()
        assert known >= window - stride or not counted[: -window + known]
    assert counted == list(range(total))


@pytest.mark.parametrize("stride", [1, 3, 5, 6])
@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_the_bits_are_the_sum_of_the_conditionals(name: str, stride: int) -> None:
    window, total = 6, 17
    model = build_text_model(name, window)
    text = SmallText(some_text(total), window, CHARACTERS).stream("test")
    first = torch.arange(window)[:, None] > torch.arange(window)

    def log_conditional(x: Tensor, i: int) -> float:
        """Return log p(x_i | x_<i) as the difference of two probabilities of a rest."""
        rests = [
            model.log_prob_given(x.view(1, 1, 1, -1), known.view(1, 1, -1))
            for known in (first[i], first[i + 1] if i + 1 < window else ~first[0])
        ]
        return float(rests[0] - rests[1])

    expected = 0.0
    for t in range(total):
        end = window + -(-max(0, t + 1 - window) // stride) * stride
        start = min(end, total) - window
        assert t - start >= min(t, window - stride)
        expected -= log_conditional(text[start : start + window], t - start)
    nats, sizes = stream_nats(model, text, stride, batch_size=2)
    assert float(nats.sum()) == pytest.approx(expected, rel=1e-9)
    assert int(sizes.sum()) == total


class Chain:
    """A Markov chain, which looks at one symbol before each: any window with one gives it all."""

    num_dims, shape, num_classes, device = 7, (1, 1, 7), 0, torch.device("cpu")

    def __init__(self, alphabet: str | None, levels: int) -> None:
        generator = torch.Generator().manual_seed(1)
        table = torch.randn(levels, levels, generator=generator, dtype=torch.float64)
        self.table, self.config = table.log_softmax(1), {"alphabet": alphabet}
        self.levels = levels

    def each(self, s: Tensor) -> Tensor:
        """Return log p of each symbol (..., T) given the one before; the first is uniform."""
        s = s.long()
        start = torch.full_like(s[..., :1], -math.log(self.levels), dtype=torch.float64)
        return torch.cat([start, self.table[s[..., :-1], s[..., 1:]]], -1)

    def log_prob_given(self, x: Tensor, known: Tensor) -> Tensor:
        return (self.each(x.flatten(1)) * ~known.flatten()).sum(-1)

    def known_come_first(self, known: Tensor) -> bool:
        return True


@pytest.mark.parametrize("stride", [1, 2, 3, 6])
@pytest.mark.parametrize("characters", [CHARACTERS, None])
def test_context_is_carried_over(characters: str | None, stride: int) -> None:
    text = some_text(130)
    model: Any = Chain(characters, 256 if characters is None else len(characters))
    data = SmallText(text, 7, characters)
    exact = -float(model.each(data.stream("test")).sum()) / math.log(2)
    found = stream(model, data, stride=stride)
    size = len(text.encode())
    assert found[f"stream-{stride}/bytes"] == size
    assert found[f"stream-{stride}/bits_per_byte"] == pytest.approx(exact / size, rel=1e-12)
    per_character = {k: v for k, v in found.items() if "_per_character" in k}
    assert len(per_character) == (0 if characters is None else 4)
    if characters is not None:
        bits = found[f"stream-{stride}/bits_per_character"]
        assert bits == pytest.approx(exact / len(text), rel=1e-12)
        nats = found[f"stream-{stride}/nats_per_character"]
        assert nats == pytest.approx(bits * math.log(2), rel=1e-12)


def test_windows_that_do_not_overlap_have_the_nll_of_the_windows() -> None:
    model = build_text_model("nade", 6)
    data = SmallText(some_text(60), 6, CHARACTERS)
    with torch.inference_mode():
        nats = float(model.nll(data.images("test")).sum())
    found = stream(model, data, stride=6)
    assert found["stream-6/nats_per_character"] == pytest.approx(nats / 60)
    assert found["windows-6/nats_per_symbol"] == pytest.approx(nats / 60)
    a_part = stream(model, data, stride=6, limit=3)
    with torch.inference_mode():
        nats = float(model.nll(data.images("test")[:3]).sum())
    assert a_part["stream-6/nats_per_character"] == pytest.approx(nats / 18)


@pytest.mark.parametrize("stride", [1, 4, 7])
@pytest.mark.parametrize("total", [7, 13, 14, 60])
def test_windows_with_nothing_before_them_have_a_number_of_their_own(
    total: int, stride: int
) -> None:
    model: Any = Chain(CHARACTERS, len(CHARACTERS))
    data = SmallText(some_text(total), 7, CHARACTERS)
    text = data.stream("test").long().tolist()
    nats = []
    for start in range(0, total - 6, 7):
        nats.append(math.log(len(CHARACTERS)))  # the first symbol, with nothing before it
        nats += [-float(model.table[a, b]) for a, b in pairwise(text[start : start + 7])]
    found = stream(model, data, stride=stride, batch_size=2)
    assert found["windows-7/nats_per_symbol"] == pytest.approx(sum(nats) / len(nats), rel=1e-12)
    assert ("windows-7/nats_per_symbol_se" in found) == (total >= 14)
    assert "windows-7-val/nats_per_symbol" in stream(model, data, stride=stride, split="val")
    said = "windows-7: nats per symbol, with nothing before a window"
    assert name_of("windows-7/nats_per_symbol") == said
    assert name_of("windows-7/steps") is None


def test_the_error_is_that_of_many_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over texts of independent symbols, the error that one text gives is the spread of them all."""
    monkeypatch.setattr(streams, "compressed_lengths", lambda content: {})
    model: Any = Chain(None, 256)
    model.table = model.table[:1].expand(256, -1)
    values, errors = [], []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(256, (2000,), generator=generator)
        data = SmallText(bytes(drawn.tolist()), 7, None)
        found = stream(model, data, stride=6)
        values.append(found["stream-6/bits_per_byte"])
        errors.append(found["stream-6/bits_per_byte_se"])
    spread = float(torch.tensor(values).std())
    assert torch.tensor(errors).mean() == pytest.approx(spread, rel=0.3)
    single = stream(model, SmallText(b"1234567", 7, None))
    assert not {k for k in single if k.endswith("_se")}


def test_compressors_take_the_same_bytes() -> None:
    text = some_text(500)
    content = text.encode()
    lengths = compressed_lengths(content)
    assert lengths["gzip"] == len(gzip.compress(content, 9))
    assert lengths["bz2"] == len(bz2.compress(content))
    assert lengths["xz"] == len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
    for characters in (CHARACTERS, None):
        model: Any = Chain(characters, 256)
        found = stream(model, SmallText(text, 7, characters))
        codes = {k.partition("/")[2]: v for k, v in found.items() if k.startswith("stream-codes/")}
        assert codes == {k: 8 * v / len(content) for k, v in lengths.items()}


def test_numbers_of_a_text_have_names_and_are_in_no_table_of_windows() -> None:
    model: Any = Chain(CHARACTERS, len(CHARACTERS))
    data = SmallText(some_text(300), 7, CHARACTERS)
    found = stream(model, data, stride=2) | stream(model, data, stride=2, split="val")
    metrics = checked_metrics(json.loads(json.dumps(found)), Path("metrics.json"))
    assert likelihoods(metrics) == []
    printed = number_texts(metrics)
    assert len(printed) == len([k for k in found if not k.endswith("_se")])
    assert len({text.rpartition(" ")[0] for text in printed}) == len(printed)
    assert sum(k.startswith("stream-2-val/") for k in found) == 7
    assert name_of("stream-2/bits_per_byte") == "stream-2: bits per byte of the whole text"
    with pytest.raises(GdlError, match=r"damaged"):
        checked_metrics({"stream-2/bits_per_byte": "low"}, Path("metrics.json"))


def test_what_is_no_text_or_no_reader_of_one_is_refused(tmp_path: Path) -> None:
    data = SmallText(some_text(30), 6, CHARACTERS)
    model = build_text_model("made", 6)
    digits = Digits(shape=[1, 8, 8], levels=17, data_dir=str(tmp_path))
    image = MADE((1, 8, 8), 17, hidden=[4])
    with pytest.raises(Incapable, match=r"these are other data: use a run of data=text"):
        stream(image, digits)
    with pytest.raises(Incapable, match=r"which VAE lacks: use a run of model=.*transformer"):
        stream(VAE((1, 8, 8), 17, 2), digits)
    with pytest.raises(Incapable, match=r"reads from left to right.*model.order=raster"):
        stream(build_text_model("made", 6, order="random"), data)
    with pytest.raises(GdlError, match=r"measure.stride=7 is more than the model's window of 6"):
        stream(model, data, stride=7)
    for wrong in (0, -1, 1.5):
        with pytest.raises(GdlError, match=r"measure.stride must be a whole number"):
            stream(model, data, stride=wrong)  # type: ignore[arg-type]
    with pytest.raises(GdlError, match=r"no measure.split=all: use train, val, test"):
        stream(model, data, split="all")
    with pytest.raises(GdlError, match=r"has 5 symbols, fewer than the model's window of 6"):
        stream_nats(model, data.stream("test")[:5], 2)


def test_tables_rank_runs_of_any_window_and_compressors_on_one_text() -> None:
    def run(bits: float, length: int, size: int = 900) -> dict[str, object]:
        known = {
            "stream-codes/xz": 2.25,
            "stream-8/bits_per_byte_se": 0.25,
            "stream-8/bytes": size,
        }
        of = {"model": f"of_{length}", "data": "text", "data/source": "own"}
        return {**of, "data/shape": [1, 1, length], "stream-8/bits_per_byte": bits, **known}

    runs = [run(2.5, 16), run(1.5, 32), run(2.0, 64), run(1.0, 16, size=70)]
    records = [{"metrics": m, "minutes": 3.0, "command": f"run {k}"} for k, m in enumerate(runs)]
    first, second = stream_sections(records)
    assert "own: the whole test text of 70 bytes" in first.lower()
    rows = [line.split("|")[1:3] for line in second.splitlines() if line.startswith("|")][2:]
    assert [tuple(c.strip() for c in row) for row in rows] == [
        ("of_32", "1.500 ± 0.250"),
        ("of_64", "2.000 ± 0.250"),
        ("xz", "2.250"),
        ("of_16", "2.500 ± 0.250"),
    ]
    assert "`run 1`" in second
    assert stream_sections([{"metrics": {"model": "vae", "data": "digits"}}]) == []
