"""Section flow in a browser: points, densities and the cursor are those of the model."""

import math
import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gdl.data import Table, Toy
from gdl.errors import GdlError
from gdl.explorer import Subject, write_page
from gdl.explorer.bijections import plain_layers
from gdl.explorer.programs import programs
from gdl.explorer.weights import packed
from gdl.flows import Chain
from gdl.models import NICE, RealNVP

RUN = SimpleNamespace(path=Path("run"), metrics=dict, record_facts=dict)
MARKUP = "<b onclick=alert(1)>one</b>"


def flow(data, kind=RealNVP, **options):
    """A flow on some data, with parameters that are not those of the start."""
    torch.manual_seed(0)
    model = kind(data.shape, None, hidden=[8], num_couplings=2, **options).eval()
    model.initialize(data.images("test")[:1000])
    for p in model.parameters():
        p.data += 0.15 * torch.randn_like(p)
    return model


def toy(d=2, target="moons"):
    data = Toy(target, [d], num_eval=600)
    data.prepare_data()
    data.setup()
    return data


def table(folder):
    """Two clusters in the plane, of columns in different units; the name of a class is markup."""
    rng, y = np.random.default_rng(0), np.arange(400) % 2
    x = np.array([[0, 0], [3000, 2]])[y] + rng.normal(size=(400, 2)) * [500, 0.4]
    lines = [f"{a},{b},{[MARKUP, 'two'][k]}" for (a, b), k in zip(x, y, strict=True)]
    (folder / "t.csv").write_text("\n".join(["length,width,kind", *lines]) + "\n")
    data = Table(str(folder / "t.csv"), [2], label="kind", test_fraction=0.5)
    data.prepare_data()
    data.setup()
    return data


MAKE = {
    "mixture": lambda _: ({"coupling": "mixture", "mixtures": 3}, toy()),
    "affine": lambda _: ({}, toy()),
    "nice": lambda _: ({"kind": NICE}, toy()),
    "line": lambda _: ({"mixtures": 3}, toy(1, "gaussians")),
    "classes": lambda f: ({"standardize": True, "num_classes": 2}, table(f)),
}


@pytest.fixture
def open_flow(open_page, tmp_path):
    """A function that opens the page of a flow and waits for all densities: (tab, model, subject)."""

    def open_flow(name, **options):
        settings, data = MAKE[name](tmp_path)
        model = flow(data, **settings)
        subject = Subject(RUN, model, data, points=300)
        tab = open_page(write_page(subject, tmp_path / "page.html"), **options)
        settle(tab, model)
        return tab, model, subject

    return open_flow


FLOW = "document.getElementById('flow').flow"


def until(tab, what, timeout=20):
    """Wait until an expression is true; Playwright's own way would evaluate text in the page."""
    end = time.monotonic() + timeout
    while not tab.evaluate(what):
        assert time.monotonic() < end, what
        time.sleep(0.02)


def settle(tab, model):
    """Wait until the points and the densities of all places are there."""
    places = len(plain_layers(model.bijection)) + 1
    until(tab, f"{FLOW}.points && {FLOW}.way && {FLOW}.densities.size === {places}")


def places(tab, what):
    """Points of the page at all places (K + 1, N, D)."""
    d = tab.evaluate("app.content.shape[0]")
    found = tab.evaluate(f"{FLOW}.{what}.places.map(h => [...h])")
    return torch.tensor(found).unflatten(1, (-1, d))


def close(a, b, part=1e-2):
    """Whether points differ by less than a part of their extent."""
    return float((a - b).abs().max()) < part * float(b.abs().max())


def slide(tab, place):
    tab.evaluate(
        "t => { const s = document.getElementById('flow-time'); s.value = t;"
        " s.dispatchEvent(new Event('input')) }",
        place,
    )


@pytest.mark.parametrize("name", MAKE)
def test_points_and_densities_are_those_of_the_model(name, open_flow):
    tab, model, subject = open_flow(name)
    found, x = places(tab, "points"), subject.images
    layers = plain_layers(model.bijection)
    boxes = tab.evaluate("app.content.sections.flow.boxes")
    with torch.inference_mode():
        assert close(found[0], x, 1e-3)
        assert close(found[-1], model.encode(x))
        assert close(found[2], Chain(layers[:2])(x)[0])
        for k in range(len(layers) + 1):
            values = torch.tensor(tab.evaluate(f"[...{FLOW}.densities.get({k}).values]"))
            z, log_det = Chain(layers[k:])(cells(boxes[k], len(values)))
            prior = model.class_prior
            log_p = (
                model.prior.log_prob(z) if prior is None else prior.log_prob(z, torch.tensor(0))
            )
            assert close(values, (log_p + log_det).exp(), 0.02), k
            if name in ("mixture", "line"):  # little of these is outside of the picture
                area = math.prod(2 * half for half in boxes[k][x.shape[1] :]) / len(values)
                assert float(values.sum()) * area == pytest.approx(1, abs=0.1)


def cells(box, count):
    """Middles (count, D) of the cells of a picture, rows from the top."""
    d = len(box) // 2
    size = round(count ** (1 / d))
    side = (torch.arange(size) + 0.5) * 2 / size - 1
    points = side[:, None] if d == 1 else torch.cartesian_prod(-side, side).flip(1)
    return torch.tensor(box[:d]) + points * torch.tensor(box[d:])


@pytest.mark.parametrize(("scale", "offset"), [(1e-4, 0), (1e4, 0), (1, 1e5), (1e-3, 10)])
def test_data_of_any_unit_are_shown_in_it(scale, offset, tmp_path, open_page):
    x = np.random.default_rng(0).normal(size=(200, 2)) * scale + offset
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(f"{a},{b}" for a, b in x) + "\n")
    data = Table(str(tmp_path / "t.csv"), [2], test_fraction=0.5)
    data.prepare_data()
    data.setup()
    torch.manual_seed(0)
    # more numbers than a small model of images may have in 32 bits
    model = RealNVP([2], None, hidden=[64, 64], num_couplings=2, standardize=True).eval()
    model.initialize(data.images("test"))
    for p in [p for p in model.bijection.parameters() if p.ndim > 1]:
        p.data += 0.1 * torch.randn_like(p)
    tab = open_page(write_page(Subject(RUN, model, data, points=100), tmp_path / "page.html"))
    until(tab, f"{FLOW} && {FLOW}.points && {FLOW}.way")
    assert tab.evaluate("app.content.weights[0].specs.every(([, scale]) => scale === 0)")
    off = (places(tab, "points")[0] - data.images("test")).abs()
    assert float(off.max()) < max(1e-4 * scale, 1e-7 * offset)
    z = [0.8, -1.2]
    tab.evaluate("z => app.set({z}, 'other')", z)
    until(tab, f"Math.abs({FLOW}.way.places.at(-1)[0] - 0.8) < 1e-6")
    with torch.inference_mode():
        own = model.decode(torch.tensor([z]))
        log_p = float(model.log_prob(own))
    until(tab, "document.getElementById('flow-way').textContent.includes('z = (0.8')")
    said = tab.inner_text("#flow-way").replace("−", "-")
    shown = torch.tensor([*map(float, re.search(r"x = \((\S+), (\S+)\)", said).groups())])
    assert float((shown - own).abs().max()) < 0.02 * scale
    # an offset leaves few digits of the point itself
    limit = 1e-3 + 1e-6 * offset / scale
    assert abs(float(re.search(r"log p\(x\) = (\S+) nats", said)[1]) - log_p) < limit


def test_the_divergence_is_that_of_the_points(open_flow):
    tab, model, subject = open_flow("mixture")
    with torch.inference_mode():
        x = subject.images
        own = float((subject.data.log_prob(x) - model.log_prob(x).double()).mean())
    assert abs(tab.evaluate(f"{FLOW}.points.kl.at(-1)") - own) < 0.01
    assert re.search(r"-?\d\.\d{3} after all", tab.inner_text("#flow-fit").replace("−", "-"))


def test_the_slider_moves_points_between_layers(open_flow):
    tab, _, _ = open_flow("affine")
    seen = set()
    for place, name in (
        (0, "Data"),
        (1.5, "Within layer 2"),
        (2, "After layer 2"),
        (4, "Latents"),
    ):
        slide(tab, place)
        assert tab.inner_text("#flow-name").startswith(name)
        assert tab.get_attribute("#flow-time", "aria-valuetext").startswith(name)
        tab.wait_for_timeout(60)
        seen.add(tab.evaluate("document.getElementById('flow-plane').toDataURL()"))
    assert len(seen) == 4
    tab.focus("#flow-time")
    tab.keyboard.press("ArrowLeft")
    assert tab.inner_text("#flow-name").startswith("Within layer 4")


def test_play_goes_to_the_latents_and_samples_come_from_there(open_flow):
    tab, model, _ = open_flow("nice")
    assert tab.evaluate(f"{FLOW}.time") == 0  # nothing moves by itself
    tab.click("#flow-play")
    until(tab, f"{FLOW}.time > 0.1")
    assert "pause" in tab.inner_text("#flow-play")
    tab.click("#flow-play")
    before = tab.evaluate(f"{FLOW}.time")
    tab.wait_for_timeout(100)
    assert tab.evaluate(f"{FLOW}.time") == before
    assert "play" in tab.inner_text("#flow-play")
    tab.click("#flow-draw")
    until(tab, f"{FLOW}.points.n === 1000 && {FLOW}.time > 0")
    found = places(tab, "points")
    with torch.inference_mode():
        assert close(found[0], model.decode(found[-1]))
    # of a logistic prior
    assert abs(float(found[-1].std()) / 1.814 - 1) < 0.1
    until(tab, f"{FLOW}.time < 3.9")  # on the way back to the data
    tab.click("#flow-test")
    until(tab, f"{FLOW}.points.n === 300")


def test_samples_are_those_of_their_seed(open_flow):
    tab, _, _ = open_flow("nice", reduced_motion="reduce")
    latents, seen = f"[...{FLOW}.points.places.at(-1)]", []
    for seed in (1, 2):
        tab.click("#flow-draw")
        until(tab, f"{FLOW}.points.n === 1000 && {FLOW}.time === 0")
        until(tab, f"document.getElementById('flow-points').textContent.endsWith('seed {seed}')")
        seen.append(tab.evaluate(latents))
    assert seen[0] != seen[1]
    # other weights show where the same latents come from
    tab.evaluate(f"() => {{ {FLOW}.points = null; app.tell('checkpoint'); }}")
    until(tab, f"!!{FLOW}.points")
    assert tab.evaluate(latents) == seen[1]


def test_reduced_motion_shows_samples_at_their_end(open_flow):
    tab, _, _ = open_flow("line", reduced_motion="reduce")
    slide(tab, 3)
    tab.evaluate(
        "() => { const name = document.getElementById('flow-name'); window.names = [];"
        " new MutationObserver(() => names.push(name.textContent)).observe(name, {childList: true}) }"
    )
    tab.click("#flow-draw")
    until(tab, f"{FLOW}.points.n === 1000 && {FLOW}.time === 0")
    assert [name for name in tab.evaluate("names") if name.startswith("Within")] == []
    assert "play" in tab.inner_text("#flow-play")


def test_pointer_and_arrow_keys_send_a_point_both_ways(open_flow):
    tab, model, _ = open_flow("mixture")
    slide(tab, 2)
    start = tab.evaluate("[...app.z]")
    box = tab.locator("#flow-plane").bounding_box()
    tab.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"])
    until(tab, f"Math.abs(app.z[0] - {start[0]}) > 0.01")
    tab.wait_for_timeout(100)
    way, z = places(tab, "way"), torch.tensor(tab.evaluate("[...app.z]"))
    # the picture has margins of 8 pixels left and above, 22 right and below
    half, wide = tab.evaluate("app.content.sections.flow.boxes[2][2]"), box["width"]
    across, up = ((part * wide - 8) / (wide - 30) * 2 - 1 for part in (0.6, 0.4))
    under = half * torch.tensor([across, -up])
    torch.testing.assert_close(way[2, 0], under, rtol=0, atol=0.01 * half)
    with torch.inference_mode():
        assert close(way[0], model.decode(z[None]))
        log_p = float(model.log_prob(way[0]))
    said = tab.inner_text("#flow-way").replace("−", "-")
    assert abs(float(re.search(r"log p\(x\) = (\S+) nats", said)[1]) - log_p) < 0.05
    tab.focus("#flow-plane")
    tab.keyboard.press("ArrowRight")
    until(tab, f"Math.abs({FLOW}.way.places[2][0] - {float(way[2, 0, 0])}) > 1e-3")
    moved = places(tab, "way")[2] - way[2]
    torch.testing.assert_close(moved, torch.tensor([[half / 40, 0]]), rtol=1e-2, atol=1e-2)
    # another part of the page may move the latents
    tab.evaluate("app.set({z: [0.5, -0.5]}, 'other')")
    until(tab, f"Math.abs({FLOW}.way.places.at(-1)[0] - 0.5) < 1e-6")


def test_a_class_chooses_the_density_and_its_name_is_text(open_flow):
    tab, model, _ = open_flow("classes")
    assert tab.inner_text("#flow-classes label:first-of-type") == MARKUP
    assert tab.locator("#flow b").count() == 0
    before = tab.evaluate(f"[...{FLOW}.densities.get(0).values]")
    tab.click("#flow-classes label:nth-of-type(2)")
    until(tab, "app.y === 1")
    settle(tab, model)
    after = tab.evaluate(f"[...{FLOW}.densities.get(0).values]")
    assert np.abs(np.subtract(before, after)).max() > 0.05 * max(before)
    tab.click("#flow-colours label:nth-of-type(2)")
    assert MARKUP in tab.inner_text("#flow-names")
    assert tab.locator("#flow b").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_themes_without_a_shift(scheme, open_flow):
    tab, _, _ = open_flow(
        "affine",
        color_scheme=scheme,
        viewport={"width": 360, "height": 740},
        device_scale_factor=2,
    )
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    where = tab.locator("#flow-numbers").bounding_box()
    slide(tab, 1.5)
    tab.click("#flow-plane")
    tab.wait_for_timeout(100)
    assert tab.locator("#flow-numbers").bounding_box()["height"] == where["height"]
    assert tab.evaluate("scrollX") == 0
    density = tab.evaluate(
        f"[...{FLOW}.densities.get(0).image.getContext('2d').getImageData(48, 48, 1, 1).data]"
    )
    assert (sum(density[:3]) > 380) == (scheme == "dark")


def test_another_theme_paints_the_density_anew(open_flow):
    tab, _, _ = open_flow("affine", color_scheme="light")
    ink = f"{FLOW}.densities.get(0).image.getContext('2d').getImageData(48, 48, 1, 1).data[0]"
    before = tab.evaluate(ink)
    tab.click("#theme label:nth-of-type(3)")
    assert tab.evaluate(ink) > before + 50


def test_another_checkpoint_moves_points_and_densities(open_flow):
    tab, model, subject = open_flow("affine")
    for p in model.parameters():
        p.data += 0.05 * torch.randn_like(p)
    weights = packed(programs(model)[1].tensors)
    tab.evaluate("weights => { app.content.weights.push(weights) }", weights)
    before = tab.evaluate(f"{FLOW}.points.places.at(-1)[0]")
    tab.evaluate("app.useCheckpoint(1)")
    until(tab, f"{FLOW}.points.places.at(-1)[0] !== {before}")
    settle(tab, model)
    with torch.inference_mode():
        assert close(places(tab, "points")[-1], model.encode(subject.images))
        box = tab.evaluate("app.content.sections.flow.boxes[0]")
        values = torch.tensor(tab.evaluate(f"[...{FLOW}.densities.get(0).values]"))
        assert close(values, model.log_prob(cells(box, len(values))).exp(), 0.02)


def test_vectors_that_no_picture_shows_are_refused(tmp_path):
    model = RealNVP([5], None, hidden=[8])
    subject = Subject(RUN, model, SimpleNamespace())
    with pytest.raises(GdlError, match=r"vectors of 5.*gdl sample"):
        write_page(subject, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
