"""gdl sample and gdl evaluate on a model of text: from what is typed to what is printed and kept."""

import io
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from untrained_texts import Call, save_untrained, typist

import gdl
from gdl.commands.evaluate import evaluate
from gdl.commands.other_data import open_data
from gdl.commands.sample import sample
from gdl.data.splits import SPLITS
from gdl.data.text_protocols import HasText
from gdl.errors import GdlError

TEXT = "def main(a, b):\n    return 'caf\xe9' + a\n\n" * 40
TASKS = {"sample": sample, "evaluate": evaluate}


@pytest.fixture(scope="module", params=["bytes", "characters"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of an untrained model of a file."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "own.txt").write_text(TEXT, encoding="utf-8")
    args = ["model=nade", "model.hidden=8", "data=text", f"data.file={folder / 'own.txt'}"]
    save_untrained(
        folder / "model.ckpt", *args, "data.length=16", f"data.alphabet={request.param}"
    )
    return folder / "model.ckpt"


@pytest.fixture
def call(
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Call:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return typist(TASKS, [f"run={checkpoint}", "device=cpu"], monkeypatch, capsys)


def test_what_is_typed_is_continued_printed_and_written(call: Call, tmp_path: Path) -> None:
    options = ["task=complete", "out=texts", "task.prompt=main(a, ", "task.completions=2"]
    code, out, _ = call("sample", *options, "task.length=30", "task.files=true")
    assert code == 0
    assert "--- completion 2 of 2 ---\nmain(a, " in out
    first = (tmp_path / "texts" / "completions" / "0000.txt").read_bytes()
    assert first.startswith(b"main(a, ")
    whole = (tmp_path / "texts" / "completions.txt").read_bytes()
    assert whole.startswith(b"--- completion 1 of 2 ---\n" + first)
    _, again, _ = call("sample", *options, "task.length=30")
    assert again.partition("texts/")[0] == out.partition("texts/")[0]
    code, out, _ = call("sample", "out=texts", "task.n=3", "task.stop=a")
    assert code == 0
    assert "--- sample 3 of 3 ---" in out
    assert b"a" not in (tmp_path / "texts" / "samples.txt").read_bytes().replace(b"sample", b"")


def test_a_terminal_without_the_characters_shows_their_escapes(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    options = ["task=complete", "task.prompt=caf\xe9", "task.length=2", "out=texts"]
    code, *_ = call("sample", *options)
    terminal.flush()
    assert code == 0
    assert b"caf\\xe9" in raw.getvalue()


def test_a_text_is_measured_beside_compressors(call: Call) -> None:
    code, out, _ = call("evaluate", "measure=stream", "measure.stride=4", "limit=4")
    assert code == 0
    printed = " ".join(out.split())
    for name in ("stream-4: bits per byte of the whole text", "gzip: bits per byte", "xz: bits"):
        assert name in printed


def test_the_strangest_windows_are_text_and_no_picture(call: Call, tmp_path: Path) -> None:
    options = ["measure=scores", "measure.only=[likelihood]", "limit=4", "measure.sheet=3"]
    code, out, _ = call("evaluate", *options, "out=scores")
    assert code == 0
    assert "The strangest of 4 windows" in out
    assert sorted(p.name for p in (tmp_path / "scores").iterdir()) == [
        "scores.csv",
        "strangest.txt",
    ]
    text = (tmp_path / "scores" / "strangest.txt").read_text(encoding="utf-8")
    assert text.count(", likelihood ") == 3
    assert text.startswith("--- 1: test[")
    assert any(part in text for part in ("main", "retu", "caf"))


REFUSED = [
    ("sample", ["task=complete"], "task.prompt, which is empty"),
    ("sample", ["task=complete", "task.prompt="], "task.prompt= has no value"),
    ("sample", ["task=complete", f"task.prompt={'a' * 17}"], "which fill the model's window"),
    ("sample", ["task.length=0"], "task.length=0 does not fit"),
    ("sample", ["task.length=1.5"], "task.length=1.5 does not fit"),
    ("sample", ["task.n=0"], "task.n=0"),
    ("sample", ["task.label=3"], "task.label is for images"),
    ("sample", ["task=complete", "task.prompt=a", "task.completions=0"], "task.completions=0"),
    (
        "sample",
        ["task=complete", "task.prompt=a", "task.known=left"],
        "task.known is for images",
    ),
    (
        "evaluate",
        ["measure=stream", "measure.stride=17"],
        "more than the model's window of 16",
    ),
    ("evaluate", ["measure=stream", "measure.split=all"], "no measure.split=all"),
    ("sample", ["task=restore", "corruption=missing_patch"], "is a model of text"),
    ("evaluate", ["measure=restoration", "corruption=missing_patch"], "is a model of text"),
]


@pytest.mark.parametrize(
    ("checkpoint", "case"),
    zip(itertools.cycle(["bytes", "characters"]), REFUSED),
    ids=str,
    indirect=["checkpoint"],
)
def test_bad_input_is_one_sentence(call: Call, case: tuple[str, list[str], str]) -> None:
    command, options, sentence = case
    code, _, complaint = call(command, *options)
    assert code == 1
    assert sentence in complaint
    assert complaint.count("error: ") == 1
    assert "defect" not in complaint


# what the text becomes after the training, by what the run says of it
CHANGED = {
    "fewer characters": (lambda text: text.replace("main", "a"), None),
    "another character": (lambda text: text.replace("m", "Ω"), "does not know: 'Ω'"),
    "a combining one": (lambda text: text.replace("m", "e\u0301"), "COMBINING ACUTE ACCENT"),
    "nothing": (lambda text: "", "own.txt is empty"),
    "too short": (lambda text: text[:9], "which has 9"),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_text_that_has_changed_is_read_by_the_alphabet_of_the_run(
    checkpoint: Path, call: Call, change: str
) -> None:
    characters = torch.load(checkpoint, weights_only=True)["gdl_config"]["alphabet"]
    edit, complaint = CHANGED[change]
    file = checkpoint.parent / "own.txt"
    file.write_text(edit(TEXT), encoding="utf-8")
    try:
        if complaint is not None and ("own" in complaint or "which" in complaint or characters):
            code, _, complaints = call("evaluate", "measure=stream", "limit=2")
            assert code == 1
            assert complaint in complaints
            assert complaints.count("error: ") == 1
        else:
            data = gdl.load_data(checkpoint)
            assert isinstance(data, HasText)
            assert data.characters == characters
            assert data.decode(torch.cat([data.stream(s) for s in SPLITS])) == edit(TEXT)
    finally:
        file.write_text(TEXT, encoding="utf-8")


@pytest.mark.parametrize("known", [True, False])
def test_another_text_is_read_by_the_alphabet_of_the_run(
    checkpoint: Path, tmp_path: Path, known: bool
) -> None:
    run_data = gdl.load_data(checkpoint)
    assert isinstance(run_data, HasText)
    text = TEXT[::-1].replace("f", "a" if known else "ß")
    (tmp_path / "other.txt").write_text(text, encoding="utf-8")
    options = [f"file={tmp_path / 'other.txt'}"]
    if known or run_data.characters is None:
        other: Any = open_data("text", options, run_data)
        assert other.shape == run_data.shape
        assert other.levels == run_data.levels
        assert other.characters == run_data.characters
        assert other.decode(torch.cat([other.stream(s) for s in SPLITS])) == text
    else:
        with pytest.raises(GdlError, match=r"other.txt has characters .* not know: 'ß'"):
            open_data("text", options, run_data)
