"""gdl compress and gdl decompress of texts: files come back as they were, bad input writes nothing."""

import bz2
import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from untrained_texts import coder, save_untrained

from gdl.coding import text_files
from gdl.coding.container import pack, unpack
from gdl.commands.compress import compress
from gdl.commands.decompress import decompress
from gdl.errors import GdlError
from gdl.files import write_atomically

pytest.importorskip("constriction", reason="coding needs the extra gdl[coding]")

TEXT = "def main(a, b):\n    return 'caf\xe9' + a\n\n" * 40
TASKS = {"compress": compress, "decompress": decompress}
KINDS = {
    "bytes": ["model=made", "model.hidden=[8]", "data.alphabet=bytes"],
    "characters": ["model=nade", "model.hidden=8", "data.alphabet=characters"],
    "images": ["model=made", "model.hidden=[8]", "data=digits"],
}

Call = Callable[..., str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoints of untrained models."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "own.txt").write_text(TEXT, encoding="utf-8")
    for name, options in KINDS.items():
        own = ["data=text", f"data.file={folder / 'own.txt'}", "data.length=16"]
        save_untrained(folder / f"{name}.ckpt", *(own if name != "images" else []), *options)
    return folder


@pytest.fixture
def call(
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Call:
    """Run a command in an empty folder; return what it prints, or its error."""
    monkeypatch.chdir(tmp_path)
    return coder(TASKS, runs, monkeypatch, capsys)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.mark.parametrize("name", ["bytes", "characters"])
def test_a_file_comes_back(name: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / "it's, a [b] =c.txt").write_bytes(TEXT.encode()[:500])
    run, whole = f"run=RUNS/{name}.ckpt", TEXT.encode()[:500]
    said = call("compress", run, "it's, a [b] =c.txt", "out=x.gdlz", "codecs=true")
    assert "text:       500 bytes, " in said
    assert f"gzip {len(gzip.compress(whole, 9, mtime=0))}, bz2 {len(bz2.compress(whole))}" in said
    assert f"bytes:      {(tmp_path / 'x.gdlz').stat().st_size:,}, of which" in said
    assert re.search(r"bits/byte:  \d\.\d{4}; .* moves by 8, is \d\.\d{4}, so the", said)
    assert "all exact\nfile:       back.py\n" in call("decompress", run, "x.gdlz", "out=back.py")
    assert (tmp_path / "back.py").read_bytes() == whole
    (tmp_path / "old").mkdir()
    for out in ("old", "new/"):
        call("decompress", run, "x.gdlz", f"out={out}")
        assert contents(tmp_path / out) == {"it's, a [b] =c.txt": whole}
    assert "back.py exists already" in call("decompress", run, "x.gdlz", "out=back.py")
    assert "x.gdlz exists already" in call("compress", run, "back.py", "out=x.gdlz")


def test_files_and_folders_come_back(call: Call, tmp_path: Path) -> None:
    whole = {
        "a.txt": b"",
        "sub/b.bin": bytes(range(256)),
        "sub/deeper/c d": b"\xff\xfe\r\n",
        "-x.txt": "\ufeffcaf\xe9\r\n".encode(),
    }
    for name, content in whole.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "in" / ".hidden").write_text("a")
    (tmp_path / "one.txt").write_bytes(b"one")
    said = call("compress", "run=RUNS/bytes.ckpt", "in", "one.txt", "out=x.gdlz")
    assert "left out:   .hidden (hidden)" in said
    assert "in 5 files" in said
    said = call("decompress", "run=RUNS/bytes.ckpt", "x.gdlz", "out=back")
    assert "in 5 files" in said
    assert contents(tmp_path / "back") == whole | {"one.txt": b"one"}
    assert "exists already" in call("decompress", "run=RUNS/bytes.ckpt", "x.gdlz", "out=back")
    call("compress", "run=RUNS/bytes.ckpt", "in", "out=y.gdlz", "limit=2", "parts=1", "stride=3")
    call("decompress", "run=RUNS/bytes.ckpt", "y.gdlz", "out=first")
    assert [*contents(tmp_path / "first")] == ["-x.txt", "a.txt"]


@pytest.mark.parametrize("name", ["bytes", "characters"])
def test_the_runs_own_text_comes_back(name: str, call: Call, tmp_path: Path) -> None:
    run = f"run=RUNS/{name}.ckpt"
    call("compress", run, "data=val", "out=val.gdlz", "stride=4")
    call("decompress", run, "val.gdlz", "out=val.txt")
    whole = TEXT.encode() if name == "bytes" else TEXT
    part = round(0.05 * len(whole))
    val = whole[len(whole) - 2 * part : len(whole) - part]
    assert (tmp_path / "val.txt").read_bytes() == (val if isinstance(val, bytes) else val.encode())
    said = call("compress", run, "limit=2", "out=test.gdlz")
    assert "32 symbols" in said
    call("decompress", run, "test.gdlz", "out=some/")
    assert [*contents(tmp_path / "some")] == ["test.txt"]


def test_an_empty_file_comes_back(call: Call, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    said = call("compress", "run=RUNS/characters.ckpt", "empty.txt", "out=x.gdlz", "codecs=true")
    assert "text:       0 bytes" in said
    call("decompress", "run=RUNS/characters.ckpt", "x.gdlz", "out=back.txt")
    assert (tmp_path / "back.txt").read_bytes() == b""


BAD = {
    "no such file": (["nowhere.txt"], "There is no file or folder nowhere.txt"),
    "a pipe": (["pipe"], "pipe is no file, but a pipe"),
    "nothing there": (["empty"], "There are no texts to compress"),
    "foreign": (["foreign.txt"], "foreign.txt has characters outside of the run's alphabet"),
    "foreign line": (["good.txt", "foreign.txt"], "'\\u20ac' in line 2"),
    "no UTF-8": (["latin.txt"], "latin.txt is not UTF-8 (byte 0xe9 at 3)"),
    "one name twice": (["good.txt", "sub"], "would have 'good.txt' twice"),
    "stride": (["good.txt", "stride=17"], "stride must be a whole number from 1 to 16"),
    "stride 0": (["good.txt", "stride=0"], "stride=0 does not fit"),
    "parts": (["good.txt", "parts=257"], "parts must be a whole number from 1 to 256"),
    "parts 0": (["good.txt", "parts=0"], "parts=0 does not fit"),
    "no split": (["data=valid"], "use test, val or train"),
    "image options": (["run=RUNS/images.ckpt", "parts=2"], "parts= is for texts"),
    "text as an image": (["good.txt", "run=RUNS/images.ckpt"], "cannot be read as an image"),
    "no folder": (["good.txt", "out=nowhere/x.gdlz"], "There is no folder nowhere"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_sentence_and_writes_nothing(name: str, call: Call, tmp_path: Path) -> None:
    for folder in ("empty", "sub"):
        (tmp_path / folder).mkdir()
    (tmp_path / "good.txt").write_text("main(a)\n")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "sub" / "good.txt").write_text("main(b)\n")
    (tmp_path / "foreign.txt").write_text("a\nb \u20ac\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    before = sorted(tmp_path.rglob("*"))
    args, expected = BAD[name]
    own = {a.partition("=")[0] for a in args}
    more = [
        a for a in ("run=RUNS/characters.ckpt", "out=x.gdlz") if a.partition("=")[0] not in own
    ]
    assert expected in call("compress", *args, *more)
    assert sorted(tmp_path.rglob("*")) == before


def test_of_a_bad_file_nothing_is_written(call: Call, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"main({name})")
    call("compress", "run=RUNS/bytes.ckpt", "a.txt", "b.txt", "out=x.gdlz")
    content = (tmp_path / "x.gdlz").read_bytes()
    said = call("decompress", "run=RUNS/characters.ckpt", "x.gdlz", "out=new")
    assert "another model than this run's" in said
    changed = bytearray(content)
    changed[-40] ^= 1
    header, words = unpack(content, "x")
    for name in ("../c.txt", "/c.txt", "a.txt", "a.txt/c.txt", "", ".", "x\n"):
        object.__setattr__(header, "names", ("a.txt", name))
        (tmp_path / "hostile.gdlz").write_bytes(pack(header, words))
        said = call("decompress", "run=RUNS/bytes.ckpt", "hostile.gdlz", "out=new")
        assert "A file would" in said
    for bad in (bytes(changed), content[:-5]):
        (tmp_path / "y.gdlz").write_bytes(bad)
        assert "damaged or cut off" in call("decompress", "y.gdlz", "out=new")
    assert not (tmp_path / "new").exists()
    call("decompress", "run=RUNS/bytes.ckpt", "x.gdlz", "out=new")
    assert sorted(contents(tmp_path / "new")) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interruption_leaves_no_file(
    problem: BaseException, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def write(path: Path, content: bytes) -> None:
        if path.name == "b":
            raise problem
        write_atomically(path, content)

    monkeypatch.setattr(text_files, "write_atomically", write)
    expected, sentence = type(problem), None
    if isinstance(problem, OSError):
        expected, sentence = GdlError, r"/b cannot be written: no space left on device\."
    with pytest.raises(expected, match=sentence):
        text_files.write_texts(
            [b"a", b"b"], [tmp_path / "new" / "a", tmp_path / "new" / "c" / "b"]
        )
    assert not [*tmp_path.iterdir()]
