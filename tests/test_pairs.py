"""Pairs of a source and a target: the data, and the density of the target given the source."""

import hashlib
import re
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

import pytest
import torch

from gdl.audit.subjects import perturb
from gdl.data.dates import FIRST, LANGUAGES, LAST, date_pairs, written
from gdl.data.pair_files import pair_lines
from gdl.data.pairs import HasPairs, Pairs, split_pair
from gdl.data.text_protocols import HasText
from gdl.distributions import Categorical
from gdl.errors import GdlError
from gdl.families.drawing import Drawing
from gdl.families.targets import in_target
from gdl.families.windows import continuations
from gdl.models import FVSBN, MADE, NADE, PixelCNN, PixelCNNpp, Transformer
from gdl.runs.metrics import GIVEN_SOURCE, data_identity, unit

WORDS = {"one": "un", "two": "deux", "three": "trois", "café": "coffee", "six": "six", "no": "non"}


def lines(n=60):
    """Return n lines of pairs, some sources of which come several times."""
    names = [*WORDS]
    each = [[names[k % 6]] + [names[k // 6 % 6]] * (k % 7 > 1) for k in range(n)]
    return ["\t".join((" ".join(s), " ".join(WORDS[w] for w in s))) for s in each]


def write(folder, content, name="pairs.tsv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def pairs_of(file, **options):
    own = {k: options[k] for k in ("alphabet", "reverse", "length") if k in options}
    own = {"alphabet": "characters", "reverse": False, "length": None} | own
    found = pair_lines(file=file, **own)
    data = Pairs((1, 1, found.length), file=file, **options)
    data.setup()
    return data


# ---- the data


@pytest.mark.parametrize("alphabet", ["characters", "bytes"])
@pytest.mark.parametrize("reverse", [False, True])
def test_pairs_come_back_from_their_windows(tmp_path, alphabet, reverse):
    data = pairs_of(write(tmp_path, "\n".join(lines())), alphabet=alphabet, reverse=reverse)
    wanted = sorted(split_pair(line)[:: -1 if reverse else 1] for line in lines())
    found = [pair for split in ("train", "val", "test") for pair in data.pairs(split)]
    assert sorted(found) == wanted
    assert isinstance(data, HasPairs)
    assert not isinstance(data, HasText)
    (source, target), x = data.pairs("train")[0], data.images("train")[0]
    line = f"{source}\t{target}\n"
    assert data.decode(x) == line + "\n" * (data.shape[2] - len(data.encode(line)))
    assert [data.decode(torch.tensor([i])) for i in data.ends] == ["\t", "\n"]
    longest = max(len(line.encode() if alphabet == "bytes" else line) for line in lines())
    assert data.shape == (1, 1, longest + 1)


@pytest.mark.parametrize("fraction", [0.05, 0.3])
def test_no_source_is_in_two_splits_and_the_order_of_lines_does_not_matter(tmp_path, fraction):
    options = {"val_fraction": fraction, "test_fraction": fraction}
    data = pairs_of(write(tmp_path, "\n".join(lines(200))), **options)
    other = pairs_of(write(tmp_path, "\n".join(lines(200)[::-1]), "other.tsv"), **options)
    sources = {split: {s for s, _ in data.pairs(split)} for split in ("train", "val", "test")}
    assert not sources["train"] & (sources["val"] | sources["test"])
    assert not sources["val"] & sources["test"]
    assert data.digest() == other.digest()
    assert all(data.pairs(split) == other.pairs(split) for split in sources)
    seeded = pairs_of(data._lines.where, split_seed=1, **options)
    assert seeded.pairs("test") != data.pairs("test")
    total = len({s for s, _ in map(split_pair, lines(200))})
    assert len(sources["test"]) == max(1, round(fraction * total))


def test_what_is_left_out_is_told(tmp_path, capsys):
    file = write(tmp_path, "\r\n".join(f"{line}\tCC-BY" for line in lines()) + "\r\n\r\n")
    data = pairs_of(file, length=14)
    out = " ".join(capsys.readouterr().out.split())
    long = [line for line in lines() if len(line) + 1 > 14]
    assert f"{len(long)} longer pairs were left out" in out
    assert f"takes data.length={max(map(len, lines())) + 1}" in out
    assert "60 lines have further fields, which are not read" in out
    found = sorted(pair for split in ("train", "val", "test") for pair in data.pairs(split))
    assert found == sorted(split_pair(line) for line in lines() if len(line) < 14)
    assert "CC-BY" not in data.decode(data.images("train"))


def test_a_few_long_lines_do_not_make_all_windows_long_unnoticed(tmp_path, capsys, monkeypatch):
    file = write(tmp_path, "\n".join([*lines(300), "long " * 400 + "\tlong"]))
    data = pairs_of(file)
    told = " ".join(capsys.readouterr().out.split())
    found = re.search(r"99 % of the pairs take up to (\d+): with data.length=\1", told)
    assert found
    usual = int(found[1])
    assert usual < 25 < data.shape[2] == 2006
    kept = pairs_of(file, length=usual)
    assert 0.99 * 301 <= sum(len(kept.pairs(s)) for s in ("train", "val", "test")) < 301
    assert "99 %" not in capsys.readouterr().out
    monkeypatch.setattr("gdl.data.pair_files.MEMORY", 100_000)
    with pytest.raises(GdlError, match=rf"301 pairs of .* GB: set data.length={usual}"):
        pairs_of(write(tmp_path, Path(file).read_bytes(), "other.tsv"))
    assert pairs_of(file, length=usual - 1).shape[2] < usual


MANY = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
BAD = {
    "no tab": (
        "a\tb\nc d\n",
        r"Line 2 of .* has no tab: data=pairs takes lines of a source, a tab",
    ),
    "blank line": ("a\tb\n\nc\td\n", "Line 2 of .* has no tab"),
    "empty source": ("a\tb\n\tc\n", "Line 2 of .* has nothing before its first tab"),
    "empty target": ("a\tb\nc\t\n", "Line 2 of .* has nothing after its first tab"),
    "blank target": ("a\t \tlicense\n", "Line 1 of .* has nothing after its first tab"),
    "old Macintosh": ("a\tb\rc\td\r", "Line 1 of .* has a carriage return in a field"),
    "two returns": ("a\tb\r\n" + "c\td\r\r\n", "Line 2 of .* has a carriage return in a field"),
    "empty": ("", "is empty"),
    "new lines only": ("\n\n", "has no line with text"),
    "binary": (b"a\tb\n\0\n", "is no text: byte 4 is 0"),
    "UTF-16": ("a\tb\n".encode("utf-16"), "is no text"),
    "Latin-1": ("a\tb\né\tc\n".encode("latin-1"), r"Line 2 of .* is not UTF-8 \(byte 0xe9 at 0\)"),
    "characters": (f"a\t{MANY}\n", r"303 different characters .* use data.alphabet=bytes"),
    "few": ("a\tb\na\tc\nb\td\n", "has 2 different sources, too few"),
    "one": ("a\tb\na\tc\n", "has 1 different source, too few"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_in_one_sentence(tmp_path, case):
    content, message = BAD[case]
    with pytest.raises(GdlError, match=message) as refused:
        pairs_of(write(tmp_path, content))
    assert "\n" not in str(refused.value)


OPTIONS = {
    "missing": ({"file": "/nowhere/x.tsv"}, "There is no file /nowhere/x.tsv"),
    "folder": ({"file": "/"}, "is a folder"),
    "alphabet": ({"alphabet": "words"}, "data.alphabet must be bytes or characters"),
    "reverse": ({"reverse": "yes"}, "data.reverse must be true or false"),
    "length": ({"length": "long"}, "data.length must be a whole number"),
    "short": ({"length": 5}, "is less than every pair"),
    "fractions": ({"val_fraction": 0.6, "test_fraction": 0.5}, "together less than 1"),
    "mutation": ({"mutation": 0.1}, "data.mutation would change what ends a source"),
    "levels": ({"levels": 7}, r"has data.levels=\d+, but it is 7: leave data.levels out"),
    "ends": ({"ends": [0, 2]}, r"has data.ends=\[0, 1\], but it is \[0, 2\]"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_bad_options_are_refused_in_one_sentence(tmp_path, case):
    options, message = OPTIONS[case]
    with pytest.raises(GdlError, match=message):
        pairs_of(**{"file": write(tmp_path, "\n".join(lines())), **options})


# ---- dates


def test_every_form_of_a_date_names_one_day_in_all_languages():
    """No text stands for two days: not in two languages, nor in one, nor in another case."""
    days = defaultdict(set)
    for k in range(0, (LAST - FIRST).days + 1, 97):
        day = FIRST + timedelta(k)
        for language in LANGUAGES:
            for form in range(len(language.forms)):
                days[written(day, language, form).casefold()].add(day)
    for day in (date(1987, m, d) for m in range(1, 13) for d in range(1, 13)):
        for language in LANGUAGES:
            for form in range(len(language.forms)):
                days[written(day, language, form).casefold()].add(day)
    assert all(len(found) == 1 for found in days.values())
    assert all(re.search(r"\b(19|20)\d\d\b", text) for text in days)


KNOWN = [
    (date(1987, 3, 3), "3 March 1987", "Tuesday, March 3, 1987", "the 3rd of March 1987"),
    (date(2011, 11, 11), "November 11th, 2011", "11. Nov. 2011", "l'11 novembre 2011"),
    (date(1999, 1, 1), "den 1. Januar 1999", "le vendredi 1er janvier 1999", "1º gennaio 1999"),
    (date(2000, 2, 22), "22.2.2000", "22-02-2000", "martes, 22 de febrero de 2000"),
    (date(1999, 12, 4), "4 de diciembre de 1999", "samedi 4 décembre 1999", "op 4 december 1999"),
    (date(2000, 1, 1), "1 de enero del 2000", "1.º de enero de 2000", "il 1º gennaio 2000"),
    (date(1950, 5, 8), "l'8 maggio 1950", "8 mei 1950", "lunes, 8 de mayo de 1950"),
]


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: str(case[0]))
def test_dates_are_as_people_write_them(case):
    day, *texts = case
    forms = {written(day, a, form) for a in LANGUAGES for form in range(len(a.forms))}
    assert {*texts} <= forms


def test_what_nobody_writes_is_in_no_language():
    wrong = re.compile(
        r"\bdel 19"  # Spanish, of years from 2000 on only
        r"|\b1 (janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|décembre)"  # 1er
        r"|\b(le|il|el|den|op|am) 0|\bil (8|11) |l'(?!8|11)\d"
        r"|\b(1[123]|\d?[4-90])(st|nd|rd)|(?<!1)[123]th"
        r"|\bmarz\b|fevrier|aout|decembre|miercoles|sabado"
    )
    assert [s for s, _ in date_pairs()[::3] if wrong.search(s.casefold())] == []


def test_the_default_has_each_day_once_and_is_the_same_everywhere():
    found = date_pairs()
    assert found == date_pairs()
    assert [target for _, target in found][:3] == ["1900-01-01", "1900-01-02", "1900-01-03"]
    assert len({t for _, t in found}) == len({s for s, _ in found}) == len(found) == 73049
    assert found[31840] == ("Freitag, den 6. März 1987", "1987-03-06")
    whole = "\n".join(map("\t".join, found)).encode()
    assert hashlib.sha256(whole).hexdigest().startswith("35eb25aa899d0d94")


# ---- the density of a target given its source

MODELS = {
    "fvsbn": (FVSBN, {}),
    "made": (MADE, {"hidden": [16]}),
    "nade": (NADE, {"hidden": 8}),
    "fvsbn of symbols": (FVSBN, {"tokens": True}),
    "made of symbols": (MADE, {"hidden": [16], "tokens": True}),
    "nade of symbols": (NADE, {"hidden": 8, "tokens": True}),
    "transformer": (Transformer, {"width": 8, "blocks": 1, "heads": 2}),
    "symbols": (Transformer, {"width": 8, "blocks": 1, "heads": 2, "tokens": True}),
    "rotary": (Transformer, {"width": 8, "blocks": 1, "heads": 2, "positions": "rotary"}),
    "pixelcnn": (PixelCNN, {"width": 8, "layers": 1, "hidden": 8}),
    "pixelcnn_pp": (PixelCNNpp, {"width": 8}),
}
TAB, END = 0, 1


def build(name, length=7, levels=4, ends=(TAB, END), **options):
    torch.manual_seed(0)
    make, own = MODELS[name]
    model = make((1, 1, length), levels, likelihood=Categorical, ends=ends, **(own | options))
    model = model.double().eval()
    perturb(model)
    return model


def windows(source, targets, length=7):
    """Return windows (N, 1, 1, L) of a source and each of the targets, filled up with ends."""
    rows = [[*source, TAB, *t, *[END] * length][:length] for t in targets]
    return torch.tensor(rows, dtype=torch.uint8).view(-1, 1, 1, length)


def all_targets(room, levels=4):
    """Return all targets whose end fits into the room, and the beginnings of all that are longer."""
    symbols = [i for i in range(levels) if i != END]
    found, longer = [], [()]
    for _ in range(room):
        found += [(*t, END) for t in longer]
        longer = [(*t, i) for t in longer for i in symbols]
    return found, longer


@pytest.mark.parametrize("source", [(), (3,), (2, END, 3)])
@pytest.mark.parametrize("name", MODELS)
def test_probabilities_of_all_targets_of_a_source_sum_to_one(name, source):
    ended, longer = all_targets(6 - len(source))
    model, p = build(name), 0.0
    for targets in (ended, longer):
        x = windows(source, targets)
        assert len(x.unique(dim=0)) == len(targets)
        p += float(model.log_prob(x).exp().sum().detach())
    assert p == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_the_nll_is_of_the_target_given_the_source_only(name):
    model = build(name)
    x = windows((2, 3), [(3, 2), (2,)])
    nll = model.nll(x)
    each = -model.position_log_probs(x).detach()
    assert nll.tolist() == pytest.approx([float(each[0, 3:6].sum()), float(each[1, 3:5].sum())])
    behind = x.clone()
    behind[0, ..., 6], behind[1, ..., 5:] = 3, TAB
    assert torch.allclose(model.nll(behind), nll, atol=1e-12), "what stands behind the end counts"
    alone = torch.cat([model.nll(row[None]) for row in x])
    assert torch.allclose(alone, nll, atol=1e-10), "the batch counts"
    assert not torch.isclose(model.nll(windows((3, 3), [(3, 2)])), nll[0], atol=1e-6)
    assert torch.allclose(nll, model.loss(x)["loss"])
    assert model.loss(x)["symbols"].tolist() == [3, 2]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_the_source_and_what_is_behind_the_end_have_no_gradient(name, training):
    model = build(name).train(training)
    x, taken = windows((2, 3), [(3, 2), (2,)]), []
    params = model.params

    def watched(*args):
        taken.append(params(*args))
        taken[0].retain_grad()
        return taken[0]

    model.params = watched
    model.loss(x)["loss"].mean().backward()
    gradient = taken[0].grad.abs().sum(-1)
    counted = torch.tensor([[0, 0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 0, 0]]).bool()
    assert torch.equal(gradient != 0, counted)


def test_a_likelihood_of_zero_in_a_source_does_not_matter():
    """A product with the mask would make NaN of it."""
    model = build("fvsbn")
    with torch.no_grad():
        model.bias[:2] = torch.tensor([0.0, 0, -torch.inf, 0])
    terms = model.loss(windows((2, 2), [(3, 2)]))
    assert bool(terms["nll"].isfinite())
    terms["nll"].sum().backward()
    assert bool(model.bias.grad[3:6].isfinite().all())


def test_positions_of_targets():
    s = torch.tensor([[TAB, END, 2, 2], [END, 2, TAB, TAB], [2, 3, 2, END], [2, TAB, TAB, END]])
    wanted = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 1]])
    assert torch.equal(in_target(s, (TAB, END)).int(), wanted.int())


def test_metrics_say_what_they_are_of():
    model = build("made")
    assert model.nll_kind == GIVEN_SOURCE != build("made", ends=None).nll_kind
    means = {"nll": 6.0, "loss": 6.0, "symbols": 3.0}
    assert model.derived(means)["bits_per_symbol"] == pytest.approx(2 / 0.6931471805599453)
    assert "bpd" not in model.derived(means)
    own = {"data/digest": "0", "data/levels": 4, "kind": GIVEN_SOURCE}
    assert unit(own) == ("bits_per_symbol", "bits/target symbol")
    assert data_identity(own) != data_identity(own | {"kind": "exact"})


@pytest.mark.parametrize("name", MODELS)
def test_models_without_ends_are_what_they_were(name):
    model = build(name, ends=None)
    x = windows((2, 3), [(3, 2)])
    assert model.nll_kind == "exact"
    assert torch.equal(model.nll(x), -model.position_log_probs(x).sum(-1))
    assert [*model.loss(x)] == ["loss", "nll"]


REFUSED = {
    "numbers": ({"ends": [0]}, "two numbers"),
    "equal": ({"ends": [1, 1]}, "two numbers"),
    "text": ({"ends": ["a", 1]}, "two numbers"),
    "range": ({"ends": [0, 4]}, "from 0 to 3"),
    "order": ({"order": "random"}, "use model.order=raster"),
    "mixture": ({"num_masks": 2}, "use model.num_masks=1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_ends_that_do_not_fit_are_refused(case):
    options, message = REFUSED[case]
    with pytest.raises(GdlError, match=message):
        build("made", **options)


def test_ends_are_for_one_row():
    with pytest.raises(GdlError, match=r"for pairs of texts of shape \[1, 1, L\]"):
        MADE((1, 2, 3), 4, ends=[0, 1])


@pytest.mark.parametrize("name", ["fvsbn", "nade", "transformer"])
def test_draws_follow_the_density_of_targets(name):
    model, source = build(name, length=4, levels=3), (2,)
    ended, longer = all_targets(2, levels=3)
    x = windows(source, [*ended, *longer], 4)
    n = 4000
    drawn = continuations(model, n, x[0, 0, 0, :2], Drawing(seed=1))
    rows = torch.stack([next(drawn), next(drawn)], 1)
    rows[rows[:, 0] == END] = END
    p = model.log_prob(x).exp()
    shares = torch.stack([(rows == row[0, 0, 2:]).all(1).double().mean() for row in x])
    assert bool(((shares - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 1e-3).all())


def test_pairs_are_read_with_the_alphabet_of_a_run(tmp_path: Path) -> None:
    first, second = tmp_path / "first.tsv", tmp_path / "second.tsv"
    lines = [f"{a}{b}\t{b}{a}" for a in "abcd" for b in "abcd"]
    first.write_text("\n".join(lines))
    second.write_text("\n".join(lines).replace("a", "e"))
    was, now = (Pairs((1, 1, 6), file=file) for file in (first, second))
    assert was.levels == now.levels, "as many characters, but others"
    now.read_with(was.characters)
    with pytest.raises(GdlError, match="'e'"):
        now.setup()
    second.write_text("\n".join(line for line in lines if "a" not in line))
    fewer = Pairs((1, 1, 6), file=second)
    fewer.read_with(was.characters)
    assert fewer.levels == was.levels
    assert fewer.pairs("train")[0] in was.pairs("train") + was.pairs("val") + was.pairs("test")
    assert torch.equal(fewer.encode("bd"), was.encode("bd"))
