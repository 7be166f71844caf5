"""Texts as images of one row: alphabets, windows, splits, and models of them."""

import ast
import json
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from runs_in_process import assert_same_run, train

import gdl
from gdl.data import Text
from gdl.data.alphabets import Alphabet, alphabet_of
from gdl.data.corpora import read_corpus
from gdl.data.text_protocols import HasText
from gdl.distributions import Categorical
from gdl.errors import GdlError
from gdl.runs.directory import Run

PANGRAM = "The quick brown fox jumps over the lazy dog; Zwölf Boxkämpfer jagen Viktor.\n"


def write(folder: Path, text: str | bytes = PANGRAM * 10, name: str = "x.txt") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def opened(
    folder: Path, text: str | bytes = PANGRAM * 10, length: int = 8, **options: Any
) -> Text:
    return Text((1, 1, length), file=write(folder, text), **options)


@pytest.mark.parametrize(
    "text", ["", "a", PANGRAM, "\0\n\r\t", "日本語 🙂 e\u0301", "\ufeffx\ufffd"]
)
@pytest.mark.parametrize("kind", ["bytes", "characters"])
def test_decoding_undoes_encoding(text: str, kind: str) -> None:
    alphabet = Alphabet(None if kind == "bytes" else "".join(sorted({*text, "x"})))
    x = alphabet.encode(text)
    assert x.dtype == torch.uint8
    assert x.shape == (len(text.encode() if kind == "bytes" else text),)
    assert all(n < len(alphabet) for n in x.tolist())
    assert alphabet.decode(x) == text


def test_every_row_of_numbers_has_a_text() -> None:
    x = torch.randint(0, 256, (5, 1, 1, 200), generator=torch.Generator().manual_seed(0))
    assert "\ufffd" in Alphabet(None).decode(x.byte())
    assert Alphabet("ab").decode(torch.tensor([0.0, 1, 2, 255])) == "ab\ufffd\ufffd"
    assert Alphabet("ab").decode(torch.zeros(0)) == ""


def test_characters_outside_of_the_alphabet_are_named() -> None:
    with pytest.raises(GdlError, match="'\\\\t' 'c' '語'; leave them out"):
        Alphabet("ab").encode("abc\t語ab")
    with pytest.raises(GdlError, match="and 16 more"):
        Alphabet("ab").encode("abcdefghijklmnopqrstuvwxyz01")
    with pytest.raises(GdlError, match="no character"):
        Alphabet(None).encode("\ud800")
    # what Python makes of bytes of a command line that are no UTF-8
    assert Alphabet(None).encode(b"a\xff".decode("utf-8", "surrogateescape")).tolist() == [97, 255]


@pytest.mark.parametrize("characters", ["ba", "aa", "", 7, "".join(map(chr, range(257)))])
def test_an_alphabet_from_a_file_is_checked(characters: Any) -> None:
    with pytest.raises(GdlError, match=r"lphabet"):
        alphabet_of({"alphabet": characters})
    assert alphabet_of({}) is None


@pytest.mark.parametrize("alphabet", ["bytes", "characters"])
@pytest.mark.parametrize("fractions", [(0.05, 0.05), (0.1, 0.3)])
def test_splits_are_contiguous_parts_that_are_together_the_text(
    tmp_path: Path,
    alphabet: str,
    fractions: tuple[float, float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    val, test = fractions
    data = opened(tmp_path, alphabet=alphabet, val_fraction=val, test_fraction=test)
    assert isinstance(data, HasText)
    streams = {split: data.stream(split) for split in ("train", "val", "test")}
    whole = torch.cat([*streams.values()])
    assert data.decode(whole) == PANGRAM * 10
    assert torch.equal(whole, data.encode(PANGRAM * 10))
    for split, fraction in (("val", val), ("test", test)):
        part, x = streams[split], data.images(split)
        assert len(part) == round(fraction * len(whole))
        assert torch.equal(x.flatten(), part[: len(part) // 8 * 8]), "windows follow one another"
        assert data.names(split)[:2] == [f"{split}[0:8]", f"{split}[8:16]"]
        assert len(data.names(split)) == len(x)
    assert len(data.images("train")) == len(streams["train"]) // 8
    said = capsys.readouterr().out
    assert all(f"{len(s) % 8} left over" in said for s in (streams["val"], streams["test"]))
    assert data.levels == (256 if alphabet == "bytes" else len({*PANGRAM}))
    assert data.characters == (None if alphabet == "bytes" else "".join(sorted({*PANGRAM})))


def test_training_windows_start_at_every_place_equally_often_and_never_leave_their_part(
    tmp_path: Path,
) -> None:
    text = bytes(range(1, 101))
    data = opened(tmp_path, text, val_fraction=0.2, test_fraction=0.2, batch_size=5)
    data.setup()
    starts = Counter[int]()
    for epoch in range(400):
        data.trainer = SimpleNamespace(  # pyright: ignore[reportAttributeAccessIssue]
            current_epoch=epoch,
            fit_loop=SimpleNamespace(
                epoch_loop=SimpleNamespace(
                    batch_progress=SimpleNamespace(current=SimpleNamespace(ready=0))
                )
            ),
            global_rank=0,
            world_size=1,
        )
        x = (
            torch.cat([torch.as_tensor(batch) for batch in data.train_dataloader()])
            .flatten(1)
            .int()
        )
        assert x.shape == (7, 8), "as many as fit into 60 symbols"
        assert (x.diff() == 1).all(), "a window is one piece of the text"
        assert (x <= 60).all(), "and of the training part"
        starts.update(x[:, 0].tolist())
    expected = 400 * 7 / 53
    assert sorted(starts) == [*range(1, 54)], "every place occurs, the last one too"
    assert max(abs(n - expected) for n in starts.values()) < 5 * expected**0.5


def test_two_processes_draw_the_windows_of_one(tmp_path: Path) -> None:
    def batches(rank: int, processes: int) -> list[torch.Tensor]:
        data = opened(tmp_path, batch_size=12 // processes)
        data.setup()
        trainer = SimpleNamespace(current_epoch=3, global_rank=rank, world_size=processes)
        trainer.fit_loop = SimpleNamespace(
            epoch_loop=SimpleNamespace(
                batch_progress=SimpleNamespace(current=SimpleNamespace(ready=2))
            )
        )
        data.trainer = trainer  # pyright: ignore[reportAttributeAccessIssue]
        return [torch.as_tensor(batch) for batch in data.train_dataloader()]

    one, two = batches(0, 1), [batches(rank, 2) for rank in range(2)]
    assert len(one) > 3
    for whole, *parts in zip(one, *two, strict=True):
        assert torch.equal(torch.cat(parts), whole)


def test_the_identity_changes_with_text_length_alphabet_and_splits(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"text": PANGRAM * 9 + PANGRAM.replace("dog", "cat")},
        {"length": 9},
        {"alphabet": "characters"},
        {"val_fraction": 0.06},
        {"fraction": 0.5},
        # the same numbers, which stand for other characters
        {"alphabet": "characters", "text": "".join(chr(ord(c) + 1) for c in PANGRAM * 10)},
    ]
    found = [opened(tmp_path, **change).digest() for change in changes]
    assert len({*found}) == len(found)
    assert opened(tmp_path).digest() == found[0]
    assert opened(tmp_path).identity()["source"] == "x.txt"


def test_a_fraction_of_the_training_part_is_its_beginning(tmp_path: Path) -> None:
    whole, half = opened(tmp_path), opened(tmp_path, fraction=0.5)
    n = len(whole.stream("train"))
    assert torch.equal(half.stream("train"), whole.stream("train")[: n // 2])
    assert torch.equal(half.stream("test"), whole.stream("test"))


def test_every_python_carries_prose_and_code(capsys: pytest.CaptureFixture[str]) -> None:
    pydoc, stdlib = (read_corpus(name, None, None, "*") for name in ("pydoc", "stdlib"))
    assert "statement" in pydoc.text()
    assert len(pydoc.content) > 300_000
    names = [name for name, _ in stdlib.parts]
    assert names == sorted(names)
    assert {"ast.py", "json/decoder.py"} <= {*names}
    assert not any("site-packages" in name or "/test/" in name for name in names)
    assert all(ast.parse(content) for name, content in stdlib.parts if name.startswith("json/"))
    assert read_corpus("stdlib", None, None, "*").content == stdlib.content
    Text((1, 1, 64), corpus="stdlib").setup()
    said = capsys.readouterr().out
    assert "not read: folders site-packages" in said
    assert f"{len(names)} files" in said


def test_a_folder_is_read_in_order_and_says_what_it_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "src"
    files: dict[str, str | bytes] = {
        **{"b.py": "b" * 100 + "\n", "a/z.py": "z" * 100, "a/empty.py": "", "c.txt": "c" * 100},
        **{".hidden.py": "h", "d.py": b"\x89PNG\0\1", "e.py": b"caf\xe9"},
    }
    for name, content in files.items():
        write(root, content, name)
    every = Text((1, 1, 8), root=str(root), glob="*.py")
    stream = torch.cat([every.stream(split) for split in ("train", "val", "test")])
    assert every.decode(stream) == "z" * 100 + "b" * 100 + "\ncaf\ufffd"
    said = " ".join(capsys.readouterr().out.split())
    for part in ("4 files (1 empty)", "d.py (no text: byte 4 is 0), 1 hidden", "byte 0xe9 at 3"):
        assert part in said
    below = Text((1, 1, 4), root=str(root), glob="a/*")
    assert below.facts()["files"] == 2
    with pytest.raises(GdlError, match=r"e\.py is not UTF-8 \(byte 0xe9 at 3\): convert it"):
        Text((1, 1, 8), root=str(root), glob="*.py", alphabet="characters")
    with pytest.raises(GdlError, match=r"matches no file with text among 7.*not read: d.py"):
        Text((1, 1, 8), root=str(root), glob="d.py").setup()


def test_links_and_pipes_in_a_folder_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "src")
    for name, to in {"itself": "itself", "up": "..", "nowhere": "gone", "again": "."}.items():
        (tmp_path / "src" / name).symlink_to(to)
    os.mkfifo(tmp_path / "src" / "pipe")
    Text((1, 1, 8), root=str(tmp_path / "src")).setup()
    said = " ".join(capsys.readouterr().out.split())
    for why in ("itself (too many levels", "nowhere (a broken", "pipe (no regular file)"):
        assert why in said
    for name, why in {
        "itself": "leads nowhere",
        "nowhere": "leads nowhere",
        "pipe": "a pipe",
    }.items():
        with pytest.raises(GdlError, match=why):
            Text((1, 1, 8), file=str(tmp_path / "src" / name)).setup()


MANY = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
BAD: dict[str, tuple[str | bytes | None, dict[str, Any], str]] = {
    "empty": ("", {}, "is empty"),
    "binary": (b"abc\0def", {}, "is no text: byte 3 is 0"),
    "missing": (None, {"file": "/nowhere/x.txt"}, "There is no file"),
    "folder": (None, {"file": "/"}, "is a folder: read it with data.root"),
    "no folder": (None, {"root": "/nowhere"}, "There is no folder"),
    "latin": (b"caf\xe9" * 99, {"alphabet": "characters"}, r"not UTF-8 \(byte 0xe9 at 3\)"),
    "many": (MANY, {"alphabet": "characters"}, "300 different characters.*alphabet=bytes"),
    "one": ("a" * 999, {"alphabet": "characters"}, "1 different characters"),
    "short": ("abc", {}, "data.length=8 is longer than .*x.txt, which has 3 bytes"),
    "short part": ("a" * 100, {}, "longer than the val part .* 5 of 100 bytes: set data.length=5"),
    "alphabet": ("abc", {"alphabet": "words"}, "must be bytes or characters"),
    "corpus": (None, {"corpus": "wikipedia"}, "must be pydoc or stdlib"),
    "two": ("abc", {"corpus": "pydoc"}, "data.corpus and data.file name two texts"),
    "shape": (None, {"shape": (1, 8, 8)}, r"data.shape must be \[1,1,L\]"),
    "length": (None, {"length": 9}, "set data.length=L"),
    "fractions": ("a" * 99, {"val_fraction": 0.6, "test_fraction": 0.6}, "together less than 1"),
    "levels": (
        "ab" * 99,
        {"alphabet": "characters", "levels": 3},
        "an alphabet of 2, but data.le",
    ),
    "labels": ("ab" * 99, {"labels_per_class": 3}, "needs labels"),
    "no folder but a file": (
        None,
        {"root": __file__},
        r"is a file: read it with data.file=.*test_text.py",
    ),
    "a device": (None, {"file": "/dev/null"}, "is a pipe or a device"),
    "glob of a file": ("a" * 999, {"glob": "*.py"}, "data.glob=.* chooses files of a folder"),
    "glob of a corpus": (None, {"corpus": "stdlib", "glob": "a*"}, "leave it out"),
    "glob": (None, {"root": "/", "glob": ""}, "data.glob must be a pattern"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(name: str, tmp_path: Path) -> None:
    content, options, message = BAD[name]
    known: dict[str, Any] = {"shape": (1, 1, 8), "file": None}
    if content is not None:
        known["file"] = write(tmp_path, content)
    with pytest.raises(GdlError, match=message) as e:
        Text(**(known | options)).setup()
    assert "\n" not in str(e.value)


LADDER = {
    "fvsbn": [],
    "made": ["model.hidden=[8]"],
    "nade": ["model.hidden=8"],
    "transformer": ["model.width=8", "model.blocks=1"],
}


@pytest.mark.parametrize("model", LADDER)
def test_models_of_pixels_are_models_of_text(model: str, tmp_path: Path) -> None:
    file = write(tmp_path)
    options = [f"model={model}", *LADDER[model], "data=text", f"data.file={file}"]
    options += ["data.length=6", "data.alphabet=characters", "data.batch_size=16"]
    train(tmp_path / "run", *options)
    found: Any = gdl.load(tmp_path / "run")
    assert isinstance(found.likelihood, Categorical), "symbols have no order"
    alphabet = alphabet_of(found.config)
    assert alphabet is not None
    assert alphabet.characters == "".join(sorted({*PANGRAM}))
    assert set(alphabet.decode(found.sample(3))) <= {*PANGRAM}
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["data/source"] == "x.txt"
    data = gdl.load_data(tmp_path / "run")
    assert metrics["data/digest"] == data.digest()


@pytest.mark.parametrize("name", ["fewer", "others"])
def test_a_run_goes_on_with_its_own_alphabet(name: str, tmp_path: Path) -> None:
    options = ["model=nade", "model.hidden=8", "data=text", f"data.file={write(tmp_path)}"]
    options += ["data.length=6", "data.alphabet=characters"]
    train(tmp_path / "run", *options)
    before = Run(tmp_path / "run").checkpoint("last").read_bytes()
    write(tmp_path, (PANGRAM * 10).replace("T", "t" if name == "fewer" else "A"))
    if name == "fewer":
        train(tmp_path / "run", *options, "trainer.max_epochs=2")
        characters = torch.load(Run(tmp_path / "run").checkpoint("last"), weights_only=True)
        assert characters["gdl_config"]["alphabet"] == "".join(sorted({*PANGRAM}))
    else:
        with pytest.raises(GdlError, match=r"x.txt has characters .* not know: 'A'; leave"):
            train(tmp_path / "run", *options, "trainer.max_epochs=2")
        assert Run(tmp_path / "run").checkpoint("last").read_bytes() == before


@pytest.mark.parametrize("model", ["ae", "denoising_ae"])
def test_a_model_without_a_distribution_is_refused_and_leaves_nothing(
    model: str, tmp_path: Path
) -> None:
    options = ["data=text", f"data.file={write(tmp_path)}", "data.length=6"]
    with pytest.raises(GdlError, match=r"symbols have no distance .* use model=transformer"):
        train(tmp_path / "run", f"model={model}", *options)
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_resumed_is_the_whole_run(tmp_path: Path) -> None:
    file = write(tmp_path)
    options = ["data=text", f"data.file={file}", "data.length=6", "data.batch_size=16"]
    train(tmp_path / "whole", *options, "trainer.max_epochs=3")
    train(tmp_path / "parts", *options, "trainer.max_epochs=1")
    train(tmp_path / "parts", *options, "trainer.max_epochs=3")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
