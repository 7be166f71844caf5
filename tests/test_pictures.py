"""Pictures that can be shown: titles and labels that fit, exact pixels, a size that can be seen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from gdl import tasks
from gdl.models import MADE, VAE, Autoencoder, RealNVP
from gdl.pictures import Picture, subject
from gdl.plots import save_animation, save_grid, save_result, save_sheet
from gdl.plots.layout import LEAST, MOST, Layout
from gdl.plots.pixels import to_pixels
from gdl.plots.text import block, font, wrapped

LONG = (
    "a label that is much longer than anybody would want it to be, and has-one-very-long-word " * 3
)
GRIDS = {
    "digits": ((8, 8), (1, 8, 8), 17),
    "mnist": ((8, 8), (1, 28, 28), 256),
    "colour": ((8, 8), (3, 32, 32), 256),
    "large": ((2, 4), (3, 64, 64), 256),
    "two levels": ((4, 8), (1, 28, 28), 2),
    "one image": ((1, 1), (1, 8, 8), 17),
    "strip": ((1, 11), (1, 8, 8), 17),
    "column": ((40, 1), (1, 8, 8), 17),
    "many rows": ((20, 3), (1, 28, 28), 256),
    "flat": ((2, 3), (1, 2, 40), 256),
    "two channels": ((2, 3), (2, 5, 4), 256),
    "few colours": ((3, 5), (3, 16, 16), 256),
    "densities": ((2, 3), (1, 120, 120), None),
}


def images(rows: int, columns: int, shape: tuple[int, ...], levels: int | None) -> Tensor:
    g = torch.Generator().manual_seed(0)
    if levels is None:
        return torch.rand(rows, columns, *shape, generator=g)
    return torch.randint(levels, (rows, columns, *shape), generator=g, dtype=torch.uint8)


def labelled(name: str, text: str) -> Picture:
    (rows, columns), shape, levels = GRIDS[name]
    x = images(rows, columns, shape, levels)
    of = lambda n: [f"{text} {i}" for i in range(n)]  # noqa: E731
    return Picture(x, f"title {text}", of(rows), of(columns), captions=of(rows * columns))


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_can_be_seen_and_its_pixels_are_exact(
    name: str, bare: bool, tmp_path: Path
) -> None:
    picture, levels = labelled(name, "some text"), GRIDS[name][2]
    layout = Layout(picture, bare=bare)
    with Image.open(save_grid(picture, tmp_path / "new" / "x.png", levels, bare)) as file:
        page = np.asarray(file.convert("RGB"))
        assert (file.mode == "L") == (levels is not None and picture.images.shape[2] == 1)
    grid_w = picture.images.shape[1] * layout.pitch[0]
    larger = (layout.factor + 1) * layout.cell[0] / layout.factor * picture.images.shape[1]
    fills = larger > MOST[0] - 200 or page.shape[0] > 0.8 * MOST[1]
    assert min(page.shape[0], grid_w) >= LEAST or fills
    for i, pixels in enumerate(to_pixels(picture.images.flatten(0, 1), levels)):
        left, top, right, bottom = layout.box(i)
        k = layout.factor
        shown = page[top:bottom, left:right]
        assert (shown == np.asarray(pixels.movedim(0, -1)).repeat(k, 0).repeat(k, 1)).all()
    assert bare == (len([t for t in layout.texts if t.lines]) == 0)


@pytest.mark.parametrize("text", ["", "label", LONG, "two\nlines", "odd \x1b[31m \u202e \t text"])
@pytest.mark.parametrize("name", GRIDS)
def test_no_text_is_cut_off_or_lies_on_another(name: str, text: str) -> None:
    layout = Layout(labelled(name, text))
    boxes = [t.box for t in layout.texts if t.lines]
    for box in boxes:
        assert box[0] >= 0
        assert box[1] >= 0
        assert box[2] <= layout.width
        assert box[3] <= layout.height
    taken = [*boxes, *(layout.box(i) for i in range(layout.count))]
    some = taken[:20] + taken[-20:]  # of each kind
    for i, box in enumerate(boxes[:60]):
        assert not any(overlap(box, other) for other in some if other != box), (i, box)


def test_what_is_drawn_stays_inside(tmp_path: Path) -> None:
    with Image.open(save_grid(labelled("digits", LONG), tmp_path / "x.png", 17)) as file:
        page = np.asarray(file)
    edges = [page[:4], page[-4:], page[:, :4], page[:, -4:]]
    assert all((edge == 255).all() for edge in edges)


@pytest.mark.parametrize("width", [10, 40, 200])
def test_lines_are_no_wider_than_their_place_and_no_word_is_lost_without_a_sign(
    width: int,
) -> None:
    for text in ("", "one", LONG, "x" * 300, "a b c d e f g", "MMMM\nMMMM"):
        for lines in (1, 2, 5):
            found = wrapped(text, width, 13, lines)
            assert len(found) <= lines
            assert all(font(13).getlength(line) <= width or line == "…" for line in found)
            whole = " ".join(found).split() == text.split()
            assert whole or any(line.endswith("…") for line in found)
    room = int(font(13).getlength("three four")) + 1
    assert wrapped("one two three four", room, 13, 2) == ["one two", "three four"]
    size, found = block(["completion 1", "original"], 200, 20, 2)
    assert (size, found) == (20, [["completion 1"], ["original"]])


def test_labels_that_do_not_belong_to_the_images_are_refused() -> None:
    x = torch.zeros(2, 3, 1, 4, 4)
    with pytest.raises(ValueError, match="2 rows cannot have 3 labels"):
        Picture(x, rows=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"\(rows, columns, C, H, W\)"):
        Picture(x[0])
    assert Picture(x, captions=["a"] * 5, count=5).shown == 5


def test_places_after_the_last_image_stay_white(tmp_path: Path) -> None:
    picture = Picture(torch.zeros(2, 3, 1, 8, 8), "black images", count=4)
    layout = Layout(picture)
    with Image.open(save_grid(picture, tmp_path / "x.png", 2)) as file:
        page = np.asarray(file)
    sums = [page[t:b, left:r].min() for left, t, r, b in map(layout.box, range(6))]
    assert sums == [0, 0, 0, 0, 255, 255]


@pytest.mark.parametrize("name", ["strip", "few colours", "densities"])
def test_an_animation_has_one_palette_and_few_frames(name: str, tmp_path: Path) -> None:
    picture, levels = labelled(name, "text"), GRIDS[name][2]
    path = save_animation(picture, tmp_path / "x.gif", levels)
    with Image.open(path) as file:
        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(file)]
        times = [f.info["duration"] for f in ImageSequence.Iterator(file)]
    steps = picture.images.shape[1]
    assert len(frames) == 2 * steps - 2
    assert min(frames[0].shape[:2]) >= 320
    assert 2000 < sum(times) < 10_000
    whole = Image.fromarray(np.concatenate(frames))
    colours = [colour for _, colour in whole.getcolors(256) or []]
    assert colours, "more than 256"
    assert all((f[0, 0] == 255).all() for f in frames)
    if levels == 17:  # grey is exact
        shades = {round(255 * k / 16) for k in range(17)}
        assert shades <= {int(c[0]) for c in colours}


def test_a_long_animation_runs_forwards_only(tmp_path: Path) -> None:
    picture = Picture(
        images(1, 24, (1, 8, 8), 17), "title", columns=[f"t = {i}" for i in range(24)]
    )
    with Image.open(save_animation(picture, tmp_path / "x.gif", 17)) as file:
        assert file.n_frames == 24


def test_images_are_also_written_one_by_one_and_as_numbers(tmp_path: Path) -> None:
    x = images(2, 3, (1, 8, 8), 17)
    picture = Picture(x, "title", rows=["a", "bb"], count=5)
    written = save_result(picture, tmp_path, "samples", 17, "vae on digits", files=True)
    assert [p.name for p in written] == ["samples.png", "samples.npz", "samples"]
    names = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert names == ["0000.png", "0001.png", "0002.png", "0100.png", "0101.png"]
    with Image.open(tmp_path / "samples" / "0101.png") as file:
        assert (file.mode, file.size) == ("L", (8, 8))
        expected = (x[1, 1, 0].double() * 255 / 16).round().numpy()
        assert (np.asarray(file) == expected).all()
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as content:
        assert content["images"].dtype == np.uint8
        assert (content["images"] == x.numpy()).all()
        assert content["rows"].tolist() == ["a", "bb"]
        assert content["columns"].tolist() == []
        assert (content["levels"], content["count"]) == (17, 5)
    save_result(Picture(x + 0.25), tmp_path, "means", 17, files=True)
    with np.load(tmp_path / "means.npz", allow_pickle=False) as content:
        assert content["images"].dtype == np.float32
        assert (content["images"] == x.numpy() + 0.25).all()


def test_a_picture_tells_its_model_and_data_and_trusts_no_one() -> None:
    assert subject({"choices": {"model": "vae", "data": "digits"}}) == "vae on digits"
    for config in ({}, {"choices": 3}, {"choices": {"model": ["x"], "data": "y" * 1000}}):
        assert subject(config) == ""


# ---- tasks

SHAPE = (1, 8, 8)


def results() -> dict[str, tuple[Mapping[str, Picture | Tensor], int | None]]:
    torch.manual_seed(0)
    x = images(1, 40, SHAPE, 17)[0]
    vae, ae, made = (kind(SHAPE, 17) for kind in (VAE, Autoencoder, MADE))
    classes = MADE(SHAPE, 17, num_classes=3)
    flow = RealNVP((2,), None, num_couplings=2)
    for model in (vae, ae, made, classes):
        model.eval()
    points = torch.randn(500, 2)
    flow.initialize(points)
    known = tasks.LazyImages(
        lambda: points, log_prob=lambda h: -0.5 * (h**2).sum(1) - np.log(2 * np.pi)
    )
    return {
        "sample": (tasks.sample(vae, x, n=10), 17),
        "sample one": (tasks.sample(ae, x, n=1), 17),
        "sample all": (tasks.sample(classes, x, n=6, label="all"), 17),
        "reconstruct": (tasks.reconstruct(vae, x), 17),
        "interpolate": (tasks.interpolate(vae, x, pairs=3), 17),
        "between four": (tasks.interpolate(vae, x, grid=True), 17),
        "complete": (tasks.complete(made, x, images=2), 17),
        "complete all": (tasks.complete(classes, x, images=2, label="all"), 17),
        "traverse": (tasks.traverse(vae, x, units=4), 17),
        "density": (tasks.density(flow, points, frames=5), None),
        "known density": (tasks.density(flow.eval(), known, frames=5), None),
    }


def test_every_task_says_what_is_seen(tmp_path: Path) -> None:
    found = results()
    for task, (result, levels) in found.items():
        for name, picture in result.items():
            if isinstance(picture, Picture):
                assert picture.title, task
            elif picture.dim() == 0:
                continue
            for path in save_result(picture, tmp_path / task, name, levels, "vae on digits"):
                with Image.open(path) as file:
                    assert min(file.size) >= (320 if path.suffix == ".gif" else 280), (task, name)

    def of(task: str) -> Any:
        return next(iter(found[task][0].values()))

    assert list(of("reconstruct").rows[:2]) == ["original", "reconstruction"]
    assert list(of("sample all").rows) == ["class 0", "class 1", "class 2"]
    assert [*of("complete").columns][::7] == ["known", "original"]
    assert [*of("complete all").columns][1:-1] == ["class 0", "class 1", "class 2"]
    assert of("interpolate").columns[0].startswith("t = 0\n")
    assert of("interpolate").columns[-1].startswith("t = 1\n")
    assert "KL" not in of("density").captions[0]
    assert of("sample").count == 10
    assert "decoded" in of("sample one").title


def test_layers_of_a_flow_show_their_divergence_where_the_density_of_the_data_is_known() -> None:
    torch.manual_seed(0)
    points = 2 * torch.randn(20_000, 2)
    flow = RealNVP((2,), None, num_couplings=2)
    flow.initialize(points)
    log_prob = lambda h: -(h**2).sum(1) / 8 - np.log(8 * np.pi)  # noqa: E731
    found = tasks.density(flow, tasks.LazyImages(lambda: points, log_prob=log_prob), frames=2)
    kl = [float(caption.rpartition(" ")[2]) for caption in found["densities"].captions]
    truth = 2 * (0.5 * (4 - 1) - np.log(2))  # KL(N(0, 4 I), N(0, I))
    assert kl[0] == pytest.approx(truth, abs=0.05)
    assert kl[-1] == pytest.approx(0, abs=0.05)  # the first layer normalises


def test_a_contact_sheet_has_its_labels_below_the_images(tmp_path: Path) -> None:
    x = images(1, 7, SHAPE, 17)[0]
    with Image.open(save_sheet(x, [*"abcdefg"], tmp_path / "x.png", 17, "strange")) as file:
        assert min(file.size) >= LEAST


@pytest.mark.parametrize("size", [(15, 5), (4, 3), (3, 8)])
def test_a_diagram_is_as_large_and_has_a_title(size: tuple[int, int], tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    figure.subplots().plot([0, 1])
    figure.suptitle("a title")
    (path,) = save_result(figure, tmp_path, "x", None, "vae on digits")
    with Image.open(path) as file:
        assert min(file.size) >= LEAST
    assert figure.get_suptitle().replace("\n", " ") == "vae on digits: a title"
