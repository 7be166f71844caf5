"""Translations of held-out pairs: how they are drawn, what their scores are, and what is written."""

import itertools
import json
import math
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from small_texts import build_text_model
from test_results import make_run
from torch import Tensor
from torchmetrics.text import CHRFScore, SacreBLEUScore
from untrained_texts import save_untrained

from gdl.capabilities import Incapable
from gdl.commands.entry import run_command
from gdl.commands.evaluate import evaluate
from gdl.comparison.entries import read_runs
from gdl.comparison.results import add_records, render
from gdl.comparison.translation import translation_tables as tables_of_runs
from gdl.data import Digits, ImageData, Split
from gdl.data.alphabets import Alphabet
from gdl.errors import GdlError
from gdl.evaluation import Host, translation
from gdl.evaluation.nearest_sources import _ngrams, nearest_sources
from gdl.evaluation.translation_scores import chrf, scores_of_texts, tokenization
from gdl.families.base import GenerativeModel
from gdl.families.drawing import Drawing
from gdl.families.translations import translate
from gdl.models import MADE, VAE
from gdl.runs.directory import Run
from gdl.runs.metrics import checked_metrics
from gdl.runs.report import likelihoods, number_texts
from gdl.runs.translation_numbers import translated
from gdl.runs.translation_table import translation_tables

CHARACTERS = "\t\n abc\xe9"
Pairs = Sequence[tuple[str, str]]


class SmallPairs(ImageData):
    """Pairs in windows of L symbols; the last one is in the test only, not in val."""

    def __init__(
        self, train: Pairs, held_out: Pairs, length: int, characters: str | None = CHARACTERS
    ) -> None:
        self._symbols, self.characters = Alphabet(characters), characters
        super().__init__(shape=[1, 1, length], levels=len(self._symbols))
        self._own = {"train": [*train], "val": [*held_out][:-1], "test": [*held_out]}

    def encode(self, text: str) -> Tensor:
        return self._symbols.encode(text)

    def decode(self, x: Tensor) -> str:
        return self._symbols.decode(x)

    def pairs(self, split: str) -> list[tuple[str, str]]:
        return self._own[split]

    def load(self) -> dict[str, Split]:
        found: dict[str, Split] = {}
        for split, pairs in self._own.items():
            lines = [f"{a}\t{b}".ljust(self.shape[2], "\n") for a, b in pairs]
            found[split] = torch.stack([self.encode(x) for x in lines]).view(-1, *self.shape), None
        return found


class Dictionary:
    """A model that knows the target of each source, and is certain."""

    num_classes, device, num_masks = 0, torch.device("cpu"), 1

    def __init__(self, known: dict[str, str], length: int) -> None:
        self.known, self.symbols = known, Alphabet(CHARACTERS)
        self.config, self.shape, self.num_dims = {"alphabet": CHARACTERS}, (1, 1, length), length

    def nll(self, x: Tensor) -> Tensor:
        return torch.arange(1.0, len(x) + 1)

    def steps_from(self, prefix: Tensor, y: Tensor | None, naive: bool) -> Any: ...


class WithEnds:
    """A transformer of random weights, of lines that end sooner or later."""

    def __new__(cls, length: int = 24, end: float = 2.0) -> GenerativeModel:
        model: Any = build_text_model("transformer", length, CHARACTERS)
        with torch.no_grad():
            model.bias[..., CHARACTERS.index("\n")] += end
        return model


SOURCES = ["a", "b", "abc", "c a", "", "\xe9 b", "a", "cab", "bbbb", "ca"]


def drawn_alone(model: GenerativeModel, how: Drawing) -> list[str]:
    """Return what follows each source by whole passes without a cache, symbol by symbol."""
    own: Any = model
    symbols, [end] = Alphabet(CHARACTERS), Alphabet(CHARACTERS).encode("\n").tolist()
    texts = []
    for k, source in enumerate(SOURCES):
        prompt = symbols.encode(f"{source}\t")
        given = torch.zeros(model.shape, dtype=torch.uint8)
        given.view(-1)[: len(prompt)] = prompt
        known = (torch.arange(model.num_dims) < len(prompt)).view(model.shape)
        x = own.sample_given(
            1, given, known, seed=how.seed, temperature=how.temperature, naive=True, indices=[k]
        )
        row = x.flatten()[len(prompt) :].tolist()
        cut = row.index(end) if end in row else len(row)
        texts.append(symbols.decode(torch.tensor(row[:cut])))
    return texts


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@torch.inference_mode()
def test_translations_do_not_depend_on_those_beside_them(temperature: float) -> None:
    model, how = WithEnds(), Drawing(3, temperature)
    found = translate(model, SOURCES, how)
    assert len(set(found.texts)) > 1
    assert found.texts == drawn_alone(model, how)
    alone = [translate(model, [s], how, indices=[k]) for k, s in enumerate(SOURCES)]
    assert [text for [text], _ in alone] == found.texts
    assert translate(model, SOURCES, how, batch_size=2) == found
    order = [7, 2, 9, 0, 4, 1, 8, 6, 5, 3]
    other = translate(model, [SOURCES[k] for k in order], how, indices=order)
    assert other.texts == [found.texts[k] for k in order]
    assert [order[k] for k in other.unended] == [k for k in order if k in found.unended]
    assert (found.texts[0] == found.texts[6]) == (temperature == 0), "the same source twice"


@torch.inference_mode()
def test_what_has_no_end_is_cut_at_the_window() -> None:
    found = translate(WithEnds(12, end=-50.0), SOURCES)
    assert found.unended == [*range(len(SOURCES))]
    assert [len(s) + 1 + len(t) for s, t in zip(SOURCES, found.texts, strict=True)] == [12] * 10
    assert translate(WithEnds(12, end=50.0), SOURCES) == ([""] * len(SOURCES), [])
    with pytest.raises(GdlError, match=r"has 11 characters.*window of 12.*larger data.length"):
        translate(WithEnds(12), ["a", "a" * 11])
    assert len(translate(WithEnds(12, end=-50.0), ["a" * 10]).texts[0]) == 1
    with pytest.raises(GdlError, match=r"A source is one line without a tab"):
        translate(WithEnds(12), ["a\tb"])
    with pytest.raises(GdlError, match=r"outside of the alphabet.*'z'"):
        translate(WithEnds(12), ["z"])


# ---- scores

SENTENCES = [
    "Va !",
    "Vas-y maintenant.",
    "Je suis tr\xe8s content de te voir.",
    "Il pleut ; rentrons vite.",
    "Elle n'a pas dit 3,5 % aujourd'hui.",
    "Nous avons faim.",
    "Qui est l\xe0 ?",
    "Merci.",
]


def some_translations(seed: int) -> tuple[list[str], list[list[str]]]:
    """Return translations with mistakes, each of which shares something, and up to three right ones."""
    draw = random.Random(seed)
    texts, wanted = [], []
    for sentence in SENTENCES:
        words = sentence.split()
        texts.append(" ".join(w for w in words if draw.random() < 0.8) or words[0])
        others = [" ".join(draw.sample(words, len(words))) for _ in range(draw.randrange(3))]
        wanted.append([sentence, *others])
    return texts, wanted


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_torchmetrics(seed: int) -> None:
    texts, wanted = some_translations(seed)
    for tokens in ("13a", "char"):
        found = scores_of_texts(texts, wanted, tokens)
        reference = SacreBLEUScore(tokenize=tokens)  # pyright: ignore[reportArgumentType]
        bleu = 100 * float(reference(texts, wanted))
        assert found[f"bleu-{tokens}"] == pytest.approx(bleu, rel=1e-6)
        assert found["chrf"] == pytest.approx(
            100 * float(CHRFScore(n_word_order=0)(texts, wanted)), rel=1e-5
        )
        right = [text in some for text, some in zip(texts, wanted, strict=True)]
        p = sum(right) / len(right)
        assert found["exact"] == pytest.approx(100 * p)
        error = 100 * math.sqrt(p * (1 - p) / (len(right) - 1))
        assert found["exact_se"] == pytest.approx(error)


@pytest.mark.parametrize(
    "targets",
    [
        ["1987-03-01", "2024-12-31"],
        SENTENCES,
        ["a", "b"],
        ["ab", "c d"],
        ["今日は日曜日です", "雨"],
        ["x"],
    ],
)
def test_what_is_right_has_100_and_what_is_empty_0(targets: list[str]) -> None:
    tokens = tokenization(targets)
    perfect = scores_of_texts(targets, [["another", t] for t in targets], tokens)
    numbers = ("exact", "chrf", f"bleu-{tokens}")
    assert all(perfect[n] == pytest.approx(100) for n in numbers)
    nothing = scores_of_texts([""] * len(targets), [[t] for t in targets], tokens)
    assert all(nothing[n] == 0 for n in numbers)


def test_half_of_the_empty_answers_cost_half_of_chrf() -> None:
    """The library's own chrF forgets what was wanted there, and says 100."""
    texts, wanted = ["1987-03-01", ""], [["1987-03-01"], ["1987-03-01"]]
    assert float(CHRFScore(n_word_order=0)(texts, wanted)) == pytest.approx(1)
    # precision 1, recall 1/2
    assert chrf(texts, wanted) == pytest.approx(100 * 5 * 0.5 / (4 + 0.5))


def test_bleu_is_of_characters_where_targets_have_few_words() -> None:
    assert tokenization(["1987-03-01"] * 3) == "13a"
    assert tokenization(["Go!", "Run!", "I see you there."]) == "char"
    assert tokenization(["Go!", "I am here.", "I see you there."]) == "13a"


# ---- the nearest neighbour


def similarity(a: str, b: str) -> float:
    """Return the cosine of the counts of n-grams, by the definition."""

    def counts(text: str) -> Counter[str]:
        s = f"\t{text}\t"
        return Counter(s[i : i + n] for n in (2, 3, 4) for i in range(len(s) - n + 1))

    x, y = counts(a), counts(b)
    dot = sum(x[k] * y[k] for k in x)
    return dot / math.sqrt(sum(v * v for v in x.values()) * sum(v * v for v in y.values()))


@pytest.mark.parametrize("cells", [5_000_000, 7])
def test_the_nearest_source_is_that_of_brute_force(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gdl.evaluation.nearest_sources.CELLS", cells)
    draw = random.Random(0)
    texts = ["".join(draw.choices("ab \xe9", k=draw.randrange(1, 9))) for _ in range(80)]
    among, sources = texts[:50], [*texts[50:], texts[3], "zzz"]
    for source, i in zip(sources, nearest_sources(sources, among), strict=True):
        each = [similarity(source, other) for other in among]
        assert each[i] == pytest.approx(max(each), rel=1e-12)
        assert i == min(k for k, s in enumerate(each) if s > max(each) - 1e-12), "the first one"


def test_the_ends_of_a_source_are_in_its_ngrams() -> None:
    assert _ngrams("ab") == ["\ta", "ab", "b\t", "\tab", "ab\t", "\tab\t"]


# ---- the measure

TRAIN = [("a b", "b"), ("c", "a"), ("c", "b"), ("bb a", "c c"), ("caca", "ab")]
HELD_OUT = [("bb", "c"), ("cab", "cab"), ("bb", "cc"), ("a a", "b a"), ("b", "ac")]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def perfect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model that knows all pairs; of several targets it takes the last."""

    def answer(model: Any, n: int, prompt: Tensor, *_: Any, **__: Any) -> Any:
        sources = [model.symbols.decode(row)[:-1] for row in prompt]
        lines = [model.known[s].ljust(model.num_dims, "\n") for s in sources]
        return iter(torch.stack([model.symbols.encode(x) for x in lines], 1))

    monkeypatch.setattr("gdl.families.growing.continuations", answer)
    return Dictionary(dict(HELD_OUT), 12)


def test_a_perfect_model_has_100_beside_the_baselines(perfect: Any, host: Host) -> None:
    data = SmallPairs(TRAIN, HELD_OUT, 12)
    found = translation(perfect, data, host, tokens="char")
    assert (found["translation/pairs"], found["translation/sources"]) == (5, 4)
    for number in ("exact", "chrf", "bleu-char"):
        assert found[f"translation/model/{number}"] == pytest.approx(100)
    assert found["translation/model/exact_se"] == 0
    # one source of four is its own target
    assert found["translation/copying/exact"] == 25
    sources, wanted = ["bb", "cab", "a a", "b"], [["c", "cc"], ["cab"], ["b a"], ["ac"]]
    assert found["translation/copying/chrf"] == pytest.approx(chrf(sources, wanted))
    nearest = ["c c", "ab", "b", "b"]
    assert [TRAIN[i][1] for i in nearest_sources(sources, [s for s, _ in TRAIN])] == nearest
    assert found["translation/nearest/chrf"] == pytest.approx(chrf(nearest, wanted))
    assert found["translation/nearest/exact"] == 0
    # 1 to 5 nats of pairs whose targets and ends are 2, 4, 3, 4 and 3 symbols
    assert found["translation/model/nats_per_pair"] == pytest.approx(3)
    bits = 15 / 16 / math.log(2)
    assert found["translation/model/bits_per_symbol"] == pytest.approx(bits)
    assert (host.folder / "mistakes.txt").read_text() == "0 of 4 translations are wrong\n"


def test_mistakes_are_written_and_numbers_have_their_table(perfect: Any, host: Host) -> None:
    perfect.known |= {"bb": "b", "a a": "\xe9"}
    data = SmallPairs(TRAIN, HELD_OUT, 12)
    found = translation(perfect, data, host, split="val", mistakes=1)
    assert found["translation-val/model/exact"] == pytest.approx(100 / 3)
    assert found["translation-val/model/nats_per_pair"] == 2.5
    content = (host.folder / "mistakes.txt").read_text()
    assert content == (
        "2 of 3 translations are wrong, the first 1\n\n"
        "source  bb\nwanted  c\nwanted  cc\ngot     b\n"
    )
    found |= translation(perfect, data, host, temperature=0.5, limit=2)
    assert found["translation/sources"] == 2
    metrics = checked_metrics(json.loads(json.dumps(found)), Path("metrics.json"))
    assert likelihoods(metrics) == number_texts(metrics) == []
    known = translated(metrics)
    assert {k: [*v] for k, v in known.items()} == {
        "val": ["model", "copying", "nearest"],
        "test": ["model", "model-0.5", "copying", "nearest"],
    }
    assert [str(t.title) for t in translation_tables(metrics)] == [
        "translation of the val pairs",
        "translation of the test pairs",
    ]
    drawn = {k: v for k, v in metrics.items() if not re.match(r".*/model/(exact|chrf|bleu)", k)}
    assert [str(cell) for cell in translation_tables(drawn)[1].columns[0].cells] == [
        "model, drawn at temperature 0.5",
        "copying the source",
        "nearest training pair",
    ]
    with pytest.raises(GdlError, match=r"damaged"):
        checked_metrics({"translation/model/exact": "high"}, Path("metrics.json"))


def test_a_measure_of_a_real_model_is_repeated_by_its_seed(host: Host) -> None:
    model, data = WithEnds(12), SmallPairs(TRAIN, HELD_OUT, 12)
    ask: Callable[..., dict[str, float]] = lambda **o: translation(model, data, host, **o)  # noqa: E731
    greedy = ask()
    assert ask(seed=1, batch_size=1) == pytest.approx(greedy)
    drawn = [ask(temperature=1, seed=k) for k in (0, 1, 0)]
    assert drawn[0] == drawn[2] != drawn[1]
    assert all(math.isfinite(v) for v in itertools.chain(greedy.values(), drawn[0].values()))
    cut = translation(WithEnds(12, end=-50.0), data, host)
    assert cut["translation/model/cut"] == 4
    cut = translation(WithEnds(12, end=-50.0), data, host, temperature=0.5)
    assert cut["translation/model-0.5/cut"] == 4
    assert "translation/model/cut" not in cut, "that is of the most likely symbols"
    told = "4 without an end (model, drawn at temperature 0.5)"
    assert told in str(translation_tables(cut)[0].caption)
    assert "translation/model/cut" not in translation(WithEnds(12, end=50.0), data, host)


def test_what_are_no_pairs_or_no_translator_is_refused(host: Host, tmp_path: Path) -> None:
    data = SmallPairs(TRAIN, HELD_OUT, 12)
    digits = Digits(shape=[1, 8, 8], levels=17, data_dir=str(tmp_path))
    with pytest.raises(Incapable, match=r"these are other data: use a run of data=pairs"):
        translation(MADE((1, 8, 8), 17, hidden=[4]), digits, host)
    vae: Any = VAE((1, 1, 12), 7, 2)
    with pytest.raises(Incapable, match=r"which VAE lacks: use a run of model=.*transformer"):
        translation(vae, data, host)
    for options, sentence in (
        ({"split": "all"}, r"no measure.split=all: use train, val, test"),
        ({"tokens": "zh"}, r"no measure.tokens=zh: use 13a, char or null"),
        ({"temperature": -1.0}, r"measure.temperature must be at least 0"),
        ({"temperature": math.nan}, r"measure.temperature must be at least 0"),
        ({"mistakes": 0}, r"measure.mistakes must be a whole number of at least 1"),
        ({"limit": 0}, r"limit must be a whole number of at least 1"),
    ):
        with pytest.raises(GdlError, match=sentence):
            translation(WithEnds(12), data, host, **options)
    assert not [*tmp_path.glob("*.txt")], "no file before it is known that it can be written"


# ---- from the command to the tables


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of an untrained model of a file of pairs."""
    lines = [f"{k} plus {n}\t{k + n}\t\n" for k in range(9) for n in range(4)]
    (tmp_path / "own.txt").write_text("".join([*lines, "1 plus 1\ttwo\n"]), encoding="utf-8")
    args = ["model=nade", "model.hidden=8", "data=pairs", f"data.file={tmp_path / 'own.txt'}"]
    save_untrained(tmp_path / "model.ckpt", *args)
    return tmp_path / "model.ckpt"


def test_a_run_is_translated_by_the_command(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    monkeypatch.setenv("COLUMNS", "80")
    args = [f"run={checkpoint}", "device=cpu", "measure=translation", "out=wrong.txt"]
    monkeypatch.setattr(sys, "argv", ["gdl evaluate", *args, "measure.split=val"])
    run_command(evaluate, "evaluate")
    out = capsys.readouterr().out
    assert "translation of the val pairs" in out
    for line in ("copying the source", "nearest training pair"):
        assert line in out
    wrong = (checkpoint.parent / "wrong.txt").read_text()
    assert re.search(r"source  \d plus \d\nwanted  \w+\n(wanted  two\n)?got     ", wrong)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    known = {"data/shape": [1, 1, 9], "data/levels": 4, "data/train": 5, "data/val": 2}
    known |= {"data/test": 3, "test/images": 3, "data": "d", "data/digest": 64 * "a"}
    for name, value in (("a", 90.0), ("b", 2.0), ("c", None)):
        run = Run(make_run(tmp_path / "runs" / name, "abcdef123456"))
        numbers = {"model/exact": value, "model/exact_se": 0.5, "model/bleu-13a": 1.0}
        numbers |= {"copying/exact": 25.0, "copying/bleu-13a": 3.0, "pairs": 3}
        found = {f"translation/{k}": v for k, v in numbers.items()} if value else {}
        run.merge_metrics({"model": f"m{name}", **known, **found})
    return tmp_path / "runs"


def test_compare_shows_all_runs_and_the_baselines_once(runs: Path, tmp_path: Path) -> None:
    (table,) = tables_of_runs(read_runs([runs])[0])
    assert table.columns[1:4] == ["method", "exact match, %", "BLEU, 13a"]
    assert [row[1] for row in table.rows] == ["ma", "copying the source", "mb"]
    assert [row[2] for row in table.rows] == ["90.00 ± 0.50", "25.00", "2.00 ± 0.50"]
    add_records(read_runs([runs])[0], tmp_path / "results")
    text = render(tmp_path / "results")
    assert text.count("### d: translation of the test pairs") == 1
    rows = text.partition("### d: translation")[2].splitlines()
    assert [line.split(" | ")[0] for line in rows if line.startswith("| m")][1:] == [
        "| ma",
        "| mb",
    ]
