"""The map: places decode as they should, projections and their way back, interpolation, odd data."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from untrained import autoencoder, subject_of

from gdl.explorer import write_page
from gdl.explorer.sections.latent_map import content
from gdl.explorer.thumbnails import sheet
from gdl.explorer.writer import FOLDER, modules
from gdl.tasks.interpolation import _slerp

GREY = """() => {
  const c = document.getElementById("decoded"), {data} = c.getContext("2d").getImageData(0, 0, 8, 8);
  return [...data].filter((_, i) => i % 4 === 0);
}"""
SLIDE = """t => {
  const slider = document.querySelector(".map_t");
  slider.value = t;
  slider.dispatchEvent(new Event("input", {bubbles: true}));
}"""
KINDS = {"pair": 2, "pca": 4}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Subject and page of an autoencoder, by its number of latents."""
    folder, found = tmp_path_factory.mktemp("map"), {}
    for latents in (2, 4):
        subject = subject_of(autoencoder(latents), folder, name=str(latents))
        found[latents] = subject, write_page(subject, folder / f"{latents}.html")
    return found


def point(tab, x, y, click=False):
    """Move to a place of the map, in parts of its width and height; return the latents there."""
    box = tab.locator(".map_canvas").bounding_box()
    place = box["x"] + x * box["width"], box["y"] + y * box["height"]
    tab.mouse.click(*place) if click else tab.mouse.move(*place)
    return latents(tab)


def latents(tab):
    return np.array(tab.evaluate("() => app.decode().then(() => [...app.z])"))


def pixels_of(tab, components):
    """Return the function from places of the plane to parts of the map's width and height."""
    at = np.array([[0.2, 0.2], [0.8, 0.2], [0.2, 0.8]])
    places = np.array([components(point(tab, *part)) for part in at])
    matrix = np.linalg.solve(np.c_[places, np.ones(3)], at)
    return lambda place: np.append(place, 1) @ matrix


def test_the_pointer_decodes_what_lies_under_it(pages, open_page):
    subject, page = pages[2]
    tab = open_page(page)
    seen = []
    for x, y in [(0.3, 0.4), (0.7, 0.4), (0.7, 0.8)]:
        z = point(tab, x, y)
        with torch.inference_mode():
            own = subject.model.decode(torch.tensor(z, dtype=torch.float32)[None]).flatten()
        assert np.abs(np.array(tab.evaluate(GREY)) - own.numpy() * 255 / 16).max() <= 2
        seen.append(z)
    # across is the first latent, up the second
    assert seen[0][1] == seen[1][1]
    assert seen[0][0] < seen[1][0]
    assert seen[1][0] == seen[2][0]
    assert seen[1][1] > seen[2][1]


def test_a_place_among_the_principal_components_decodes_to_their_inverse(pages, open_page):
    from sklearn.decomposition import PCA

    subject, page = pages[4]
    pca = PCA(2).fit(subject.posterior[0].numpy())
    tab = open_page(page)
    for x, y in [(0.3, 0.4), (0.8, 0.6)]:
        z = point(tab, x, y)
        inverse = pca.inverse_transform(pca.transform(z[None]))[0]
        np.testing.assert_allclose(z, inverse, atol=2e-3 * np.abs(z).max())
    assert "principal components hold" in tab.inner_text(".map_hint")


@pytest.mark.parametrize("kind", KINDS)
def test_a_click_on_a_test_image_means_its_code(pages, open_page, kind):
    subject, page = pages[KINDS[kind]]
    codes = subject.posterior[0].numpy().astype(float)
    mean = codes.mean(0) if kind == "pca" else 0
    axes = np.linalg.svd(codes - mean)[2][:2] if kind == "pca" else np.eye(2)
    tab = open_page(page)
    parts = pixels_of(tab, lambda z: (z - mean) @ axes.T)
    # the two that are farthest from all others
    places = (codes - mean) @ axes.T
    gaps = np.linalg.norm(places[:, None] - places, axis=2) + 1e9 * np.eye(len(places))
    inside = [i for i in np.argsort(-gaps.min(1)) if (np.abs(parts(places[i]) - 0.5) < 0.48).all()]
    ends = inside[:2]
    for i in ends:
        point(tab, *parts(places[i]), click=True)
    scale = np.abs(codes).max()
    for t, i in enumerate(ends):
        tab.evaluate(SLIDE, t)
        np.testing.assert_allclose(latents(tab), codes[i], atol=2e-3 * scale)
        assert tab.inner_text(".map_class") == subject.class_names[subject.labels[i]]


def test_the_slider_walks_from_a_to_b(pages, open_page):
    tab = open_page(pages[4][1])
    tab.check("input[value=pair]", force=True)
    assert tab.is_disabled(".map_t")
    assert tab.is_disabled(".map_play")
    point(tab, 0.12, 0.9, click=True)
    tab.evaluate("app.set({z: [0.5, 2, -1, 0.3]})")
    tab.keyboard.press("b")  # the map has the focus
    tab.click("[data-end=B]")
    for path in ("linear", "spherical"):
        tab.check(f"input[value={path}]", force=True)
        walk = []
        for t in (0, 1, 0.3, 0.75):
            tab.evaluate(SLIDE, t)
            walk.append(latents(tab))
        a, b, *others = walk
        assert not np.allclose(a, b)
        for t, z in zip((0.3, 0.75), others, strict=True):
            if path == "linear":
                expected = (1 - t) * a + t * b
            else:
                angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
                expected = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
            np.testing.assert_allclose(z, expected, atol=1e-4 * np.abs(z).max())
    assert tab.get_attribute("[data-end=A] canvas", "aria-label").startswith("A: the image")


def test_play_walks_and_stops_and_nothing_moves_by_itself(pages, open_page):
    tab = open_page(pages[2][1])
    point(tab, 0.2, 0.2, click=True)
    point(tab, 0.8, 0.8, click=True)
    tab.wait_for_timeout(100)
    assert tab.input_value(".map_t") == "0"
    tab.click(".map_play")
    tab.wait_for_timeout(200)
    tab.click(".map_play")
    stopped = float(tab.input_value(".map_t"))
    assert 0 < stopped < 1
    tab.wait_for_timeout(100)
    assert float(tab.input_value(".map_t")) == stopped


def test_the_keyboard_alone_moves_sets_ends_and_slides(pages, open_page):
    tab = open_page(pages[2][1])
    tab.focus(".map_canvas")
    tab.keyboard.press("a")
    before = latents(tab)
    for key in ("ArrowRight", "Shift+ArrowUp", "ArrowUp"):
        tab.keyboard.press(key)
    moved = latents(tab) - before
    assert (moved > 0).all()
    tab.keyboard.press("+")
    tab.keyboard.press("ArrowLeft")
    small = latents(tab) - before - moved
    assert -small[0] == pytest.approx(moved[0] / 2, rel=1e-3)  # a step of half a window
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("b")
    tab.focus(".map_t")
    tab.keyboard.press("End")
    np.testing.assert_allclose(latents(tab), before + moved, atol=0.3 * np.abs(moved).max())
    tab.focus(".map_legend button")
    tab.keyboard.press("Enter")
    assert tab.get_attribute(".map_legend button", "aria-pressed") == "false"


def test_a_finger_decodes_while_it_is_on_the_map(pages, open_page):
    tab = open_page(pages[2][1], has_touch=True)
    box = tab.locator(".map_canvas").bounding_box()
    fingers = tab.context.new_cdp_session(tab)

    def touch(kind, x=None, y=None):
        at = [] if x is None else [{"x": box["x"] + x, "y": box["y"] + y}]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
        return latents(tab)

    start = latents(tab)
    down = touch("touchStart", 50, 60)
    moved = touch("touchMove", 150, 90)
    assert not np.allclose(start, down)
    assert not np.allclose(down, moved)
    assert np.allclose(touch("touchEnd"), moved)
    assert tab.is_disabled(".map_play")  # a drag is no click


CHANGES = {
    "a class is hidden": "document.querySelector('.map_legend button').click()",
    "thumbnails": "document.querySelector('[value=thumbnails]').click()",
    "dark": "document.querySelector('[value=dark]').click()",
    "all are hidden": "[...document.querySelectorAll('.map_legend button')].at(-1).click()",
    "another code": "app.set({z: app.z.map(v => v + 0.01)})",
}


def test_the_map_follows_the_legend_the_style_and_the_theme(pages, open_page):
    tab = open_page(pages[2][1])
    point(tab, 0.5, 0.5)
    # what was drawn at the next frame but one
    shown = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() =>
        done(document.querySelector('.map_canvas').toDataURL()))))"""
    before = tab.evaluate(shown)
    for name, change in CHANGES.items():
        tab.evaluate(change)
        after = tab.evaluate(shown)
        assert after != before, name
        before = after
    tab.evaluate("localStorage.clear()")


PROJECTIONS = """({codes, places, z}) => {
  const size = codes[0].length, all = Float32Array.from(codes.flat());
  const known = {count: codes.length, size, all, at: i => all.slice(i * size, (i + 1) * size)};
  const map = ofNeighbours(known, Float32Array.from(places.flat()));
  return [[...map.back(...z)], map.onto(all.slice(0, size)), [...map.back(...places[3])]];
}"""


def test_a_place_of_a_tsne_decodes_to_the_codes_of_its_nearest_points(chromium):
    rng = np.random.default_rng(0)
    codes, places, z = rng.normal(size=(30, 6)), rng.normal(size=(30, 2)), rng.normal(size=2)
    tab = chromium.new_page()
    tab.add_script_tag(content=modules("projections"))
    arguments = {"codes": codes.tolist(), "places": places.tolist(), "z": z.tolist()}
    back, onto, at_a_point = tab.evaluate(PROJECTIONS, arguments)
    tab.close()
    distances = np.linalg.norm(places - z, axis=1)
    nearest = np.argsort(distances)[:5]
    weights = 1 / distances[nearest]
    np.testing.assert_allclose(back, weights @ codes[nearest] / weights.sum(), atol=1e-4)
    assert onto is None
    np.testing.assert_allclose(at_a_point, codes[3], atol=1e-3)


WINDOW = """({places, wide, high}) => {
  const window_ = windowOf(Float32Array.from(places.flat()), null);
  const scale = scaleOf(window_, wide, high);
  return places.map(place => [scale.toPixel(...place), scale.toPlace(...scale.toPixel(...place))]);
}"""


@pytest.mark.parametrize("spread", [(1, 1), (9, 1), (0.01, 5), (0, 1)])
def test_pixels_and_places_of_a_map_are_one_and_up_is_more(chromium, spread):
    places = np.random.default_rng(0).normal(size=(200, 2)) * spread
    tab = chromium.new_page()
    tab.add_script_tag(content=modules("map_view"))
    arguments = {"places": places.tolist(), "wide": 600, "high": 450}
    pixels, back = np.array(tab.evaluate(WINDOW, arguments)).transpose(1, 0, 2)
    tab.close()
    np.testing.assert_allclose(back, places, atol=1e-9)
    assert np.isfinite(pixels).all()
    assert (np.argsort(pixels[:, 1]) == np.argsort(-places[:, 1])).all()
    assert spread[0] == 0 or (np.argsort(pixels[:, 0]) == np.argsort(places[:, 0])).all()
    inside = (pixels >= 0) & (pixels <= [600, 450])
    assert inside.all(1).mean() > 0.95


def changed(latents, folder, z=None, labels=False, points=60):
    """Return a subject whose codes or labels are others."""
    subject = subject_of(autoencoder(latents), folder, name=f"{latents}", points=points)
    if z is not None:
        subject.__dict__["posterior"] = z(subject.posterior[0].clone()), None
    if labels is None:
        subject.__dict__["labels"] = None
    elif labels:
        subject.__dict__["labels"] = torch.where(subject.labels < 5, -1, subject.labels)
    return subject


def broken(z):
    z[::2, 0], z[1] = torch.nan, torch.inf
    return z


ODD = {
    "one latent": {"latents": 1},
    "no labels": {"latents": 3, "labels": None},
    "some labels": {"latents": 2, "labels": True},
    "codes of NaN": {"latents": 3, "z": broken},
    "only codes of NaN": {"latents": 3, "z": lambda z: z * torch.nan},
    "equal codes": {"latents": 3, "z": lambda z: z * 0 + 1},
    "no image": {"latents": 2, "points": 0},
    "one image": {"latents": 3, "points": 1},
    "two images": {"latents": 3, "points": 2},
    "few images": {"latents": 300, "points": 11},
}
IN_BROWSER = ("one latent", "some labels", "codes of NaN", "no image", "one image")


@pytest.mark.parametrize("name", ODD)
def test_odd_codes_have_a_map(name, tmp_path):
    subject = changed(folder=tmp_path, **ODD[name])
    found = content(subject)
    text = json.dumps(found, allow_nan=False)
    specs = found["tensors"]["specs"]
    finite = int(subject.posterior[0].isfinite().all(1).sum())
    assert specs[0][0][0] == finite
    assert found["left_out"] == len(subject.posterior[0]) - finite
    assert found["labels"] is None or len(found["labels"]) == finite
    assert len(text) < 250_000


@pytest.mark.parametrize("name", IN_BROWSER)
def test_odd_codes_are_shown(name, tmp_path, open_page, monkeypatch):
    subject = changed(folder=tmp_path, **ODD[name])
    # a page is compared with its model on images, of which there may be none here
    monkeypatch.setattr("gdl.explorer.writer.check", lambda *args: None)
    tab = open_page(write_page(subject, tmp_path / "page.html"))
    tab.check("input[value=thumbnails]", force=True) if len(subject.images) else None
    a, b = point(tab, 0.2, 0.3), point(tab, 0.7, 0.6, click=True)
    assert np.isfinite([a, b]).all()
    assert not np.allclose(a, b)
    tab.keyboard.press("b")
    tab.evaluate(SLIDE, 0.5)
    assert np.isfinite(latents(tab)).all()
    assert tab.locator(".failed").count() == 0
    if name == "codes of NaN":
        assert "not finite: 31" in tab.inner_text(".map_hint")


@pytest.mark.parametrize("latents", [64, 256, 3072])
def test_many_latents_keep_their_leading_components(latents, tmp_path):
    subject = subject_of(autoencoder(2), tmp_path)
    subject.__dict__["chosen"] = torch.arange(200)
    z = torch.randn(200, 30) @ torch.randn(30, latents)
    subject.__dict__["posterior"] = z, None
    found = content(subject)
    assert len(found["tensors"]["data"]) < 165_000
    kept = found["tensors"]["specs"][0][0][1]
    # all of a code of 30 directions where there is room
    assert (found["variance"][0] > 0.999) == (kept >= 30)


@pytest.mark.parametrize(
    ("count", "shape", "levels", "least"),
    [
        (3, (1, 5, 7), 2, 3),
        (297, (1, 8, 8), 17, 297),
        (300, (1, 28, 28), 256, 300),
        (300, (3, 32, 32), 256, 100),
        (40, (3, 200, 100), 256, 40),
        (20, (2, 9, 9), 4, 20),
    ],
)
def test_thumbnails_keep_their_budget_even_of_noise(count, shape, levels, least):
    images = torch.randint(0, levels, (count, *shape), generator=torch.manual_seed(0)).byte()
    found = sheet(images, levels, 100_000)
    data = base64.b64decode(found["src"].partition(",")[2])
    assert len(data) <= 100_000
    assert least <= len(found["of"]) <= count
    assert found["of"] == sorted(set(found["of"]))
    picture, (width, height) = Image.open(io.BytesIO(data)), found["size"]
    assert max(width, height) <= 32
    assert picture.size[0] == width * found["columns"]
    # a thumbnail is the image that it says it is
    if max(shape[1:]) <= 8 and shape[0] == 1:
        k = len(found["of"]) - 1
        x, y = k % found["columns"] * width, k // found["columns"] * height
        shown = np.array(picture.convert("L"))[y : y + height, x : x + width]
        expected = images[found["of"][k], 0].numpy() * 255.0 / (levels - 1)
        assert np.abs(shown - expected).max() <= 10


VECTORS = {
    "apart": ([1, 2, 0.5], [-2, 1, 3]),
    "equal": ([1, 2, 0.5], [1, 2, 0.5]),
    "same way": ([1, 2, 0.5], [2, 4, 1]),
    "opposite": ([1, 2, 0.5], [-1, -2, -0.5]),
    "opposite, longer": ([1, 2, 0.5], [-3, -6, -1.5]),
    "from 0": ([0, 0, 0], [1, 2, 0.5]),
    "to 0": ([1, 2, 0.5], [0, 0, 0]),
    "0 and 0": ([0, 0, 0], [0, 0, 0]),
}


def test_the_great_circle_is_that_of_the_task_of_interpolation(chromium):
    tab, path = chromium.new_page(), FOLDER / "between.js"
    tab.add_script_tag(
        content=path.read_text().replace("export const", "var").replace("export ", "")
    )
    for name, (a, b) in VECTORS.items():
        for t in (0, 0.25, 0.5, 0.9, 1):
            for path, mix in (("spherical", _slerp), ("linear", torch.lerp)):
                own = tab.evaluate(f"([a, b, t]) => [...{path}(a, b, t)]", [a, b, t])
                pair = (torch.tensor([v], dtype=torch.float64) for v in (a, b))
                expected = mix(*pair, torch.tensor(t, dtype=torch.float64))[0]
                np.testing.assert_allclose(
                    own, expected, atol=1e-5, err_msg=f"{name}, {path}, {t}"
                )
    tab.close()


@pytest.mark.parametrize("side", [(40, 0), (-40, 0), (0, 40), (0, -40), (40, 40)])
def test_a_place_beyond_the_window_has_an_arrow_at_the_border(pages, open_page, side):
    tab = open_page(pages[2][1])
    middle = point(tab, 0.5, 0.5)
    tab.evaluate("z => app.set({z})", (middle + side).tolist())
    tab.wait_for_timeout(50)
    # the ink is at that border of the canvas, and not at the opposite one
    ink = tab.evaluate(
        "() => { const c = document.querySelector('.map_canvas'), n = 20;"
        "const dark = (x, y, w, h) => { const p = c.getContext('2d').getImageData(x, y, w, h).data;"
        "let sum = 0; for (let i = 0; i < p.length; i += 4)"
        " sum += p[i + 3] > 250 && p[i] < 40 && p[i + 1] < 40 && p[i + 2] < 50; return sum; };"
        "return [dark(0, 0, n, c.height), dark(c.width - n, 0, n, c.height),"
        " dark(0, 0, c.width, n), dark(0, c.height - n, c.width, n)] }"
    )
    left, right, top, bottom = (count > 20 for count in ink)
    assert (left, right) == (side[0] < 0, side[0] > 0)
    assert (bottom, top) == (side[1] < 0, side[1] > 0)
