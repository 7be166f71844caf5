"""How drawings and pictures are brought to the shape of the data: numbers against numpy."""

import base64

import numpy as np
import pytest
import torch

from gdl.explorer.sections.canvas import looks
from gdl.explorer.writer import modules


@pytest.fixture(scope="module")
def tab(chromium):
    tab = chromium.new_page()
    tab.add_script_tag(
        content=modules("image_file")  # and shape, which it imports
        + "const plain = planes => planes.map(p => [...p]);"
        "const bytes = text => Uint8ClampedArray.from(atob(text), c => c.charCodeAt(0));"
        "const picture = ({width, height, text}) => ({width, height, data: bytes(text)});"
        "const planes = p => p.map(v => Float32Array.from(v));"
        "window.means = (p, boxes, n, m) => plain(boxMeans(picture(p), boxes, n, m));"
        "window.fit = (p, n, m, how) => fitted(picture(p), n, m, how);"
        "window.over_ = (p, b, ink) => plain(over(planes(p), planes(b), ink));"
        "window.levels_ = (p, n) => [...toLevels(planes(p), n)];"
        "window.middle = (p, n, m) => middleOf(p, n, m);"
        "window.bright = (p, n, m) => hasBrightBorder(Float32Array.from(p), n, m);"
        "window.stated = bytes => statedSize(Uint8Array.from(bytes));"
    )
    yield tab
    tab.close()


def picture(rgba):
    text = base64.b64encode(rgba.astype(np.uint8).tobytes()).decode()
    return {"width": rgba.shape[1], "height": rgba.shape[0], "text": text}


def means(rgba, x, y, step, rows, columns):
    """Means over boxes by differences of the integral, which is linear between whole pixels."""
    values = rgba / 255.0
    values[..., :3] *= values[..., 3:]
    for axis, start, count in ((0, y, rows), (1, x, columns)):
        length = values.shape[axis]
        sums = np.cumsum(np.insert(values, 0, 0, axis), axis)
        edges = np.clip(start + step * np.arange(count + 1), 0, length)
        low = np.floor(edges).astype(int).clip(0, length - 1)
        part = np.expand_dims(edges - low, tuple(i for i in range(3) if i != axis))
        at = sums.take(low, axis) * (1 - part) + sums.take(low + 1, axis) * part
        values = np.diff(at, axis=axis) / step
    return values.transpose(2, 0, 1)


BOXES = {
    "whole boxes": (24, 24, 0, 0, 3, 8, 8),
    "part of a pixel": (23, 31, 0.7, 1.3, 2.9, 7, 9),
    "smaller than a pixel": (5, 6, 0, 0, 0.4, 8, 8),
    "beyond the picture": (20, 20, -7.5, -4.25, 3.5, 10, 10),
    "one pixel": (1, 1, 0, 0, 1, 1, 1),
}


@pytest.mark.parametrize("case", BOXES)
def test_boxes_are_averaged(tab, case):
    height, width, x, y, step, rows, columns = BOXES[case]
    rgba = np.random.default_rng(0).integers(0, 256, (height, width, 4))
    found = tab.evaluate(
        "([p, b, n, m]) => means(p, b, n, m)",
        [picture(rgba), {"x": x, "y": y, "step": step}, rows, columns],
    )
    own = means(rgba, x, y, step, rows, columns)
    assert np.allclose(np.reshape(found, own.shape), own, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_drawn_is_scaled_and_centred(tab, seed):
    rng = np.random.default_rng(seed)
    rows, columns = [(28, 28), (28, 28), (20, 32), (16, 8)][seed]
    extent, centre = rng.uniform(0.4, 0.8), rng.uniform(0.45, 0.55, 2)
    sheet = np.zeros((rows * 10, columns * 10, 4), int)
    low, size = rng.uniform(0.05, 0.4, 2), rng.uniform(0.3, 0.6, 2)
    top, left = (low * sheet.shape[:2]).astype(int)
    bottom, right = ((low + size).clip(0, 1) * sheet.shape[:2]).astype(int)
    sheet[top:bottom, left : left + 12, 3] = 255  # an L
    sheet[bottom - 12 : bottom, left:right, 3] = 255
    how = {"extent": extent, "centre": centre.tolist()}
    boxes = tab.evaluate("([p, n, m, h]) => fit(p, n, m, h)", [picture(sheet), rows, columns, how])
    ink = means(sheet, **boxes, rows=rows, columns=columns)[3]
    down, across = (np.arange(n) + 0.5 for n in ink.shape)
    found = [(ink.sum(1) * down).sum() / rows, (ink.sum(0) * across).sum() / columns]
    assert np.allclose(np.array(found) / ink.sum(), centre, atol=0.01)
    longer = max((bottom - top) / rows, (right - left) / columns) / boxes["step"]
    assert longer == pytest.approx(extent, abs=1e-6)


def test_a_dot_is_not_blown_up(tab):
    sheet = np.zeros((280, 280, 4), int)
    sheet[50:54, 80:84, 3] = 255
    how = {"extent": 0.7, "centre": [0.5, 0.5]}
    fit = tab.evaluate("([p, h]) => fit(p, 28, 28, h)", [picture(sheet), how])
    assert fit["step"] == pytest.approx(10 / 3)
    sheet[:] = 0
    assert tab.evaluate("([p, h]) => fit(p, 28, 28, h)", [picture(sheet), how]) is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("ink", [None, 1, 0])
def test_colours_lie_over_the_background(tab, channels, ink):
    if channels == 3 and ink is not None:
        return
    rng = np.random.default_rng(1)
    colour, alpha, below = rng.random((3, 12)), rng.random(12), rng.random((channels, 12))
    found = tab.evaluate(
        "([p, b, i]) => over_(p, b, i)",
        [[*(colour * alpha).tolist(), alpha.tolist()], below.tolist(), ink],
    )
    luma = np.array([0.299, 0.587, 0.114]) @ colour if ink is None else ink
    own = (colour if channels == 3 else luma) * alpha + (1 - alpha) * below
    assert np.allclose(found, own, atol=1e-6)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_levels_are_the_nearest(tab, levels):
    values = [-0.1, 0, 0.2, 0.4999, 0.5, 0.71, 1, 1.2, *np.arange(levels) / (levels - 1)]
    found = tab.evaluate("([p, n]) => levels_(p, n)", [[values], levels])
    assert found == np.floor(np.clip(values, 0, 1) * np.float32(levels - 1) + 0.5).tolist()


@pytest.mark.parametrize(("width", "height"), [(100, 40), (40, 100), (64, 64)])
def test_the_middle_is_cut_out(tab, width, height):
    boxes = tab.evaluate("p => middle(p, 4, 8)", {"width": width, "height": height})
    assert 2 * boxes["x"] + 8 * boxes["step"] == pytest.approx(width)
    assert 2 * boxes["y"] + 4 * boxes["step"] == pytest.approx(height)
    assert boxes["step"] == min(width / 8, height / 4)


def test_bright_borders_are_seen(tab):
    x = np.zeros((6, 6))
    x[2:4, 2:4] = 1
    for plane, bright in ((x, False), (1 - x, True)):
        assert tab.evaluate("p => bright(p, 6, 6)", plane.flatten().tolist()) is bright


@pytest.mark.parametrize("kind", ["png", "gif", "jpeg", "webp", "webp lossless", "webp alpha"])
def test_sizes_are_read_before_decoding(tab, tmp_path, kind):
    pillow = pytest.importorskip("PIL.Image")
    image = pillow.new("RGBA" if kind in ("png", "webp alpha") else "RGB", (301, 77), (9, 8, 7))
    if kind == "webp alpha":
        image.putalpha(9)
    name, *more = kind.split()
    path = tmp_path / f"x.{name}"
    image.save(path, lossless=more == ["lossless"]) if name == "webp" else image.save(path)
    assert tab.evaluate("b => stated(b)", [*path.read_bytes()]) == [301, 77]


def scenes():
    """Images by name, and what `looks` finds in them: strokes, ink, plain paper."""
    rng = np.random.default_rng(0)
    fitted, anywhere = np.zeros((2, 40, 1, 28, 28), int)
    for i in range(40):
        high, wide = 20, rng.integers(4, 21)
        fitted[i, 0, 14 - high // 2 : 14 + high // 2, 14 - wide // 2 : 14 + (wide + 1) // 2] = 255
        top, left = rng.integers(1, 17, 2)
        anywhere[i, 0, top : top + 10, left : left + 10] = 255
    noise = rng.integers(0, 256, (40, 1, 28, 28))
    full = rng.integers(0, 256, (40, 1, 28, 28)) * (np.indices((28, 28)).sum(0) % 3 == 0)
    return {
        "fitted": (fitted, True, "bright", True),
        "dark": (255 - fitted, True, "dark", True),
        "anywhere": (anywhere, False, "bright", True),
        "noise": (noise, False, None, False),
        "up to the border": (full, False, "bright", True),
        "colour": (np.repeat(fitted, 3, 1), False, "bright", False),
        "empty": (0 * fitted, False, "bright", True),
        "one": (fitted[:1], False, "bright", True),
    }


@pytest.mark.parametrize("name", scenes())
def test_strokes_are_told_from_other_images(name):
    x, strokes, ink, plain = scenes()[name]
    found = looks(torch.from_numpy(x).to(torch.uint8), 256)
    assert (found["strokes"], found["plain_paper"]) == (strokes, plain)
    assert ink is None or found["ink"] == ink
    if strokes:
        assert found["fit"]["extent"] == pytest.approx(20 / 28, abs=1e-4)
        assert found["fit"]["centre"] == pytest.approx([0.5, 0.5], abs=0.02)
