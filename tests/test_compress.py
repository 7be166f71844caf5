"""gdl compress and gdl decompress: folders come back as they were, and bad input writes nothing."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from untrained_texts import coder

from gdl import coding
from gdl.coding.container import pack, unpack
from gdl.coding.image_files import read_images, write_images
from gdl.coding.names import checked_names
from gdl.commands.compress import compress
from gdl.commands.decompress import decompress
from gdl.errors import GdlError
from gdl.runs.checkpoints import load_run_data, load_run_model

pytest.importorskip("constriction", reason="coding needs the extra gdl[coding]")

PACKED = Path(__file__).parent / "checkpoints"
NAMES = ("made", "vae_gaussian", "glow", "pixelcnn_pp")
TASKS = {"compress": compress, "decompress": decompress}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with checkpoints of models of the digits, which have 17 levels."""
    folder = tmp_path_factory.mktemp("runs")
    for name in NAMES:
        packed = (PACKED / f"{name}.ckpt.gz").read_bytes()
        (folder / f"{name}.ckpt").write_bytes(gzip.decompress(packed))
    return folder


@pytest.fixture
def call(monkeypatch, capsys, tmp_path, runs):
    """Run a command in an empty folder; return what it prints, or its error."""
    monkeypatch.chdir(tmp_path)
    return coder(TASKS, runs, monkeypatch, capsys)


def grey(i: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    """Return an image with the greys of 17 levels."""
    rng = np.random.default_rng(i)
    x = np.round(rng.integers(0, 17, size[::-1]) * (255 / 16)).astype(np.uint8)
    return Image.fromarray(x)


def folder_of(root: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        grey(i).save(path)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): np.asarray(Image.open(p)).tobytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.mark.parametrize("name", ["made", "vae_gaussian"])
def test_a_folder_comes_back(name, call, tmp_path):
    odd = ("a.png", "sub/b.png", "sub/deeper/c d.png", "it's=a, [b] ${c}.png", "ä ö.png", "-x.png")
    folder_of(tmp_path / "my photos", *odd)
    (tmp_path / "my photos" / "notes.txt").write_text("no image")
    said = call("compress", f"run=RUNS/{name}.ckpt", "my photos", "out=x.gdlz")
    assert "notes.txt (no ending of an image)" in said
    assert "images:     6," in said
    assert ("bits-back" in said) == (name == "vae_gaussian")
    call("decompress", "x.gdlz", f"run=RUNS/{name}.ckpt", "out=back here")
    (tmp_path / "my photos" / "notes.txt").unlink()
    assert contents(tmp_path / "back here") == contents(tmp_path / "my photos")


@pytest.mark.parametrize("split", ["test", "val"])
def test_images_of_the_run_come_back_with_numbers(split, call, runs, tmp_path):
    said = call(
        "compress", "run=RUNS/made.ckpt", "out=x.gdlz", f"data={split}", "limit=40", "codecs=true"
    )
    assert "codecs:     png " in said
    assert "file:       x.gdlz" in said
    call("decompress", "x.gdlz", "run=RUNS/made.ckpt", "out=back")
    x = load_run_data(str(runs / "made.ckpt")).images(split)[:40]
    y, names, _ = read_images(["back"], (1, 8, 8), 17)
    assert torch.equal(x, y)
    assert names[:2] == ["00000.png", "00001.png"]


def test_single_files_and_several_folders(call, tmp_path):
    folder_of(tmp_path, "one/a.png", "two/b.png", "x=y.png", "c.png")
    call("compress", "run=RUNS/made.ckpt", "one", "two/", "x=y.png", "c.png", "out=x.gdlz")
    call("decompress", "x.gdlz", "run=RUNS/made.ckpt", "out=back")
    assert [*contents(tmp_path / "back")] == ["a.png", "b.png", "c.png", "x=y.png"]


def test_two_images_of_one_name_are_refused_or_keep_their_endings(call, tmp_path):
    folder_of(tmp_path, "one/a.png", "one/a.bmp", "two/a.png")
    assert "twice" in call("compress", "run=RUNS/made.ckpt", "one/a.png", "two", "out=x.gdlz")
    call("compress", "run=RUNS/made.ckpt", "one", "out=x.gdlz")
    call("decompress", "x.gdlz", "run=RUNS/made.ckpt", "out=back")
    assert [*contents(tmp_path / "back")] == ["a.bmp.png", "a.png.png"]


BAD = {
    "no such file": (["nowhere.png"], "There is no image or folder nowhere.png"),
    "no images": (["empty"], "There are no images"),
    "another size": (["size.png"], "has 9 x 8 pixels, and the model takes images of 8 x 8"),
    "colour": (["colour.png"], "is in colour"),
    "between": (["between.png"], "has greys between the 17"),
    "transparent": (["clear.png"], "is transparent"),
    "deep": (["deep.png"], "has 16 bits"),
    "moving": (["moving.gif"], "several pictures"),
    "cut": (["cut.png"], "cannot be read as an image"),
    "text": (["text.png"], "cannot be read as an image"),
    "a flow": (["a.png", "run=RUNS/glow.ckpt"], "autoregressive"),
    "a joint model": (["size.png", "run=RUNS/pixelcnn_pp.ckpt"], "9 x 8"),
    "no run": (["a.png", "run=nowhere"], "nothing matches"),
    "no split": (["data=valid"], "use test, val or train"),
    "unknown key": (["a.png", "ouut=3"], "did you mean out?"),
    "another's key": (["a.png", "model=vae"], "belongs to gdl train"),
    "added key": (["a.png", "+foo=3"], "There is no configuration key 'foo'"),
    "no folder": (["a.png", "out=nowhere/x.gdlz"], "There is no folder nowhere"),
    "out there": (["a.png", "out=a.png"], "a.png exists already"),
    "limit": (["limit=0"], "limit=0 does not fit"),
}


def bad_images(folder: Path) -> None:
    grey(0).save(folder / "a.png")
    (folder / "empty").mkdir()
    grey(0, (9, 8)).save(folder / "size.png")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / "colour.png")
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(folder / "between.png")
    clear = grey(0).convert("RGBA")
    clear.putpixel((3, 3), (0, 0, 0, 254))
    clear.save(folder / "clear.png")
    Image.fromarray(rng.integers(0, 65536, (8, 8), np.uint16)).save(folder / "deep.png")
    grey(0).save(folder / "moving.gif", save_all=True, append_images=[grey(1)])
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:-30])
    (folder / "text.png").write_text("text")


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_sentence_and_writes_nothing(name, call, tmp_path):
    bad_images(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    args, expected = BAD[name]
    own = {a.partition("=")[0] for a in args}
    more = [a for a in ("run=RUNS/made.ckpt", "out=x.gdlz") if a.partition("=")[0] not in own]
    assert expected in call("compress", *args, *more)
    assert sorted(tmp_path.rglob("*")) == before


EXACT = {
    "palette": lambda x: x.convert("P"),
    "one colour of three": lambda x: x.convert("RGB"),
    "opaque": lambda x: x.convert("RGBA"),
    "opaque grey": lambda x: x.convert("LA"),
}


@pytest.mark.parametrize("name", EXACT)
def test_files_that_hold_the_same_pixels_otherwise_are_taken(name, tmp_path):
    EXACT[name](grey(3)).save(tmp_path / "a.png")
    found, _, _ = read_images([tmp_path], (1, 8, 8), 17)
    assert np.array_equal(np.round(found[0, 0].numpy() * (255 / 16)), np.asarray(grey(3)))


@pytest.mark.parametrize("levels", [2, 3, 17, 32, 200, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_level_survives_a_file(channels, levels, tmp_path):
    x = torch.randint(levels, (20, channels, 6, 9), dtype=torch.uint8)
    x.view(-1)[:levels] = torch.arange(levels)
    names = [f"{i:02}.png" for i in range(20)]
    write_images(x, tmp_path / "x", names, levels)
    y, found, _ = read_images([tmp_path / "x"], x.shape[1:], levels)
    assert torch.equal(x, y)
    assert found == names
    if levels == 2:
        assert set(np.unique(np.asarray(Image.open(tmp_path / "x" / "00.png")))) <= {0, 255}


HOSTILE = ["../a.png", "/a.png", "a/../../b.png", "", ".png", "a//b.png", "./a.png", "a.png/"]
HOSTILE += ["a.sh", "a\0.png", "a\nb.png", "\ud800.png", "x" * 300 + ".png", ".."]


def written_with(names: list[str], runs: Path) -> bytes:
    """Return a file with a right checksum and these names."""
    _, model = load_run_model(str(runs / "made.ckpt"), "cpu")
    content = coding.compress(model, torch.zeros(len(names), 1, 8, 8, dtype=torch.uint8)).content
    header, words = unpack(content, "x")
    object.__setattr__(header, "names", names)
    return pack(header, words)


def test_what_a_terminal_cannot_show_of_a_name_is_escaped_once():
    with pytest.raises(GdlError, match=r"called 'caf\\udce9\\x1b', which is no name"):
        checked_names(["caf\udce9\x1b"], "A file")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused(name, tmp_path):
    with pytest.raises(GdlError, match="which is no name below a folder"):
        write_images(torch.zeros(2, 1, 8, 8).byte(), tmp_path / "a", ["a.png", name], 2)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", HOSTILE[:4])
def test_a_hostile_name_in_a_file_with_a_right_checksum_writes_nothing(name, call, runs, tmp_path):
    (tmp_path / "x.gdlz").write_bytes(written_with(["a.png", name], runs))
    assert "which is no name below a folder" in call(
        "decompress", "x.gdlz", "run=RUNS/made.ckpt", "out=deep/back"
    )
    assert [p.name for p in tmp_path.rglob("*")] == ["x.gdlz"]


@pytest.mark.parametrize("names", [["a.png", "a.png"], ["a.png", "a.png/b.png"]])
def test_names_that_exclude_each_other_are_refused(names, call, runs, tmp_path):
    with pytest.raises(GdlError, match="twice"):
        checked_names(names, "It")
    (tmp_path / "x.gdlz").write_bytes(written_with(names, runs))
    assert "twice" in call("decompress", "x.gdlz", "run=RUNS/made.ckpt", "out=back")
    assert not (tmp_path / "back").exists()


def test_a_link_in_the_folder_is_not_followed_out_of_it(call, runs, tmp_path):
    (tmp_path / "x.gdlz").write_bytes(written_with(["a.png", "sub/b.png"], runs))
    for folder in ("back", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "back" / "sub").symlink_to(tmp_path / "elsewhere")
    assert "a link out of" in call("decompress", "x.gdlz", "run=RUNS/made.ckpt", "out=back")
    assert not [*(tmp_path / "elsewhere").iterdir()]
    assert [p.name for p in (tmp_path / "back").iterdir()] == ["sub"]


def test_nothing_is_overwritten_and_nothing_written_of_a_bad_file(call, runs, tmp_path):
    folder_of(tmp_path / "in", "a.png", "b.png")
    call("compress", "in", "run=RUNS/made.ckpt", "out=x.gdlz")
    content = (tmp_path / "x.gdlz").read_bytes()
    assert "exists already" in call("compress", "in", "run=RUNS/made.ckpt", "out=x.gdlz")
    assert (tmp_path / "x.gdlz").read_bytes() == content
    folder_of(tmp_path / "back", "b.png")
    before = contents(tmp_path / "back")
    said = call("decompress", "x.gdlz", "run=RUNS/made.ckpt", "out=back")
    assert "b.png exists already" in said
    assert contents(tmp_path / "back") == before
    said = call("decompress", "x.gdlz", "run=RUNS/vae_gaussian.ckpt", "out=new")
    assert "another model than this run's" in said
    changed = bytearray(content)
    changed[-40] ^= 1
    (tmp_path / "y.gdlz").write_bytes(changed)
    (tmp_path / "z.gdlz").write_bytes(content[:-5])
    for name in ("y", "z"):
        said = call("decompress", f"{name}.gdlz", "run=RUNS/made.ckpt", "out=new")
        assert f"{name}.gdlz is damaged or cut off" in said
    assert "no file of gdl compress" in call(
        "decompress", "in/a.png", "run=RUNS/made.ckpt", "out=new"
    )
    assert "There is no file" in call("decompress", "w.gdlz", "out=new")
    assert "takes one file" in call("decompress", "y.gdlz", "z.gdlz", "out=new")
    assert "takes one file" in call("decompress", "out=new")
    assert "out has no value" in call("decompress", "y.gdlz")
    assert not (tmp_path / "new").exists()
