"""The page as a whole: no network, the chosen colours, texts of a run as they are."""

import io
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from untrained import subject_of, vae

from gdl.explorer import write_page
from gdl.explorer.facts import facts

TEXTS = [
    "<img src=x onerror=window.hacked=1>",
    "</script><script>window.hacked=1</script>",
    "{{css}} {{content}}",
    "\" onclick='window.hacked=1' &lt;b&gt;",
    "\u202egnp.exe \u2067\u05d0\u05d1",
    "a" * 300,
]
PIXELS = """() => {
  const c = document.getElementById("decoded");
  return [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data];
}"""
SHIFTS = """
window.shifts = [];
new PerformanceObserver(list => window.shifts.push(...list.getEntries().map(e => e.value)))
  .observe({type: "layout-shift", buffered: true});
"""
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
BACK = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(253, 253, 252)", "rgb(21, 24, 28)"


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    metrics = {"data": "digits", "kind": "bound", "test/bpd": 2.5, "epochs": 3, "steps": 9}
    record = {"commands": ["gdl train model=vae " + "x" * 200], "git_commit": "abc", "gdl": "0.2"}
    return subject_of(vae(4), tmp_path_factory.mktemp("page"), metrics, record)


@pytest.fixture(scope="module")
def page(subject):
    return write_page(subject, subject.run.path / "page.html")


def grey(tab):
    return np.array(tab.evaluate(PIXELS)).reshape(8, 8, 4)[..., 0]


def decoded(model, code):
    with torch.inference_mode():
        return model.decode(torch.as_tensor(code)[None])[0, 0].numpy() * 255 / (model.levels - 1)


def test_the_page_decodes_as_the_model_does(subject, page, open_page):
    tab = open_page(page)
    for code in torch.randn(5, 4):
        tab.evaluate("z => app.set({z})", code.tolist())
        assert np.abs(grey(tab) - decoded(subject.model, code)).max() <= 2


def test_texts_of_a_run_are_shown_as_they_are(tmp_path, open_page):
    name = " ".join(TEXTS[:4]).replace("/", "")  # of a folder
    metrics = {"data": TEXTS[1], "kind": TEXTS[0], "test/bpd": 2.0, "data/source": TEXTS[2]}
    record = {"commands": [" ".join(TEXTS)], "git_commit": TEXTS[3], "gdl": TEXTS[4]}
    subject = subject_of(vae(2), tmp_path, metrics, record, name)
    subject.__dict__["class_names"] = (TEXTS * 2)[:10]
    tab = open_page(write_page(subject, tmp_path / "page.html"))
    tab.click("summary")
    shown = dict(facts(subject)["list"])
    assert shown["run"] == name
    assert shown["command"] == record["commands"][0]
    texts = "all => all.map(e => e.firstChild.textContent)"
    assert tab.eval_on_selector_all(".facts dd", texts) == [*shown.values()]
    assert tab.eval_on_selector_all(".map_legend bdi", texts) == subject.class_names
    assert tab.title() == " ".join(facts(subject)["title"].split())
    assert tab.evaluate("window.hacked") is None
    assert tab.evaluate(OVERFLOW) <= 0
    assert tab.locator("img").count() == 0


@pytest.mark.parametrize(
    ("metrics", "record", "missing"),
    [
        (None, None, {"bits/dim", "likelihood", "command", "commit", "gdl", "started", "trained"}),
        ("{", "{", {"bits/dim", "command", "commit"}),
        ({"data": 3}, {"commands": "x"}, {"bits/dim", "command"}),
        ({"kind": "bound", "test/bpd": None}, {"git_commit": None}, {"bits/dim", "commit"}),
    ],
    ids=["no files", "damaged", "of other types", "not finite"],
)
def test_facts_that_are_not_known_are_left_out(tmp_path, metrics, record, missing):
    found = facts(subject_of(vae(2), tmp_path, metrics, record))
    names = dict(found["list"])
    assert not missing & set(names)
    assert {"run", "model", "data", "latents", "parameters"} <= set(names)
    assert "None" not in str(found["list"])
    assert found["title"] == "VAE on Digits"


@pytest.mark.parametrize(
    ("metrics", "name", "text", "word"),
    [
        ({"kind": "exact", "test/bpd": 1.5}, "bits/dim", "1.5000 (exact)", "itself"),
        ({"kind": "bound", "test/bpd": 1.5}, "bits/dim", "1.5000 (bound)", "upper bound"),
        (
            {"kind": "dequant-1", "test/bpd": 1.5, "test/bpd_se": 0.25},
            "bits/dim",
            "± 0.25",
            "noise",
        ),
        ({"kind": "bound", "test/nll": 9.0}, "nats", "9.0000 (bound)", "upper bound"),
        ({"kind": "bound", "iwae-50/bpd": 1.4}, "bits/dim, iwae-50", "1.4000", "tightens"),
        ({"kind": "dequant-1", "vardeq-2/bpd": 1}, "bits/dim, vardeq-2", "1.0000", "learned"),
        (
            {"kind": "bound", "given-label/bpd": 1.0},
            "bits/dim, given-label",
            "1.0",
            "no likelihood",
        ),
        ({"kind": None, "test/mse": 0.5}, "likelihood", "no distribution", ""),
        ({"kind": None, "test/mse": 0.5}, "squared error", "0.5000", ""),
        ({"test/images": 10, "data/test": 20}, "not whole", "tested on 10 of 20 images", ""),
    ],
)
def test_a_likelihood_says_its_kind_and_what_it_means(tmp_path, metrics, name, text, word):
    found = facts(subject_of(vae(2), tmp_path, metrics))
    assert text in dict(found["list"])[name]
    assert word in found["notes"].get(name, "")


def test_the_switch_and_the_system_choose_the_colours(page, open_page):
    tab = open_page(page, color_scheme="dark")
    assert tab.evaluate(BACK) == DARK
    tab.check("input[value=light]", force=True)
    assert tab.evaluate(BACK) == LIGHT
    tab.reload()
    tab.wait_for_selector("html[data-ready]")
    assert tab.evaluate(BACK) == LIGHT
    assert tab.is_checked("input[value=light]")
    tab.check("input[value='']", force=True)
    assert tab.evaluate(BACK) == DARK
    tab.emulate_media(color_scheme="light")
    assert tab.evaluate(BACK) == LIGHT
    tab.check("input[value=dark]", force=True)
    assert tab.evaluate(BACK) == DARK
    assert tab.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    tab.evaluate("localStorage.clear()")


def test_the_switch_works_without_storage(page, chromium):
    tab = chromium.new_page(color_scheme="light")
    tab.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw 'no'; }})")
    errors = []
    tab.on("pageerror", lambda e: errors.append(str(e)))
    tab.goto(f"file://{page}")
    tab.wait_for_selector("html[data-ready]")
    tab.check("input[value=dark]", force=True)
    assert tab.evaluate(BACK) == DARK
    assert tab.locator(".failed").count() == 0
    tab.close()
    assert errors == []


@pytest.mark.parametrize(
    ("width", "latents"), [(360, 4), (360, 2), (800, 4), (1280, 4), (1280, 1)]
)
def test_nothing_shifts_and_nothing_is_wider_than_the_screen(
    page, tmp_path, chromium, width, latents
):
    if latents != 4:
        page = write_page(subject_of(vae(latents), tmp_path), tmp_path / "page.html")
    tab = chromium.new_page(viewport={"width": width, "height": 740})
    tab.add_init_script(SHIFTS)
    tab.goto(f"file://{page}")
    tab.wait_for_selector("html[data-ready]")
    tab.evaluate("async () => { for (const v of [0, -1, 7]) await app.set({z: app.z.fill(v)}) }")
    tab.wait_for_timeout(100)
    assert sum(tab.evaluate("window.shifts")) == 0
    assert tab.evaluate(OVERFLOW) <= 0
    tab.click("summary")
    assert tab.evaluate(OVERFLOW) <= 0
    # the picture stays in sight
    tab.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    tab.evaluate("scrollTo(0, 900)")
    top = tab.evaluate("document.getElementById('decoded').getBoundingClientRect().top")
    assert 0 <= top < 100
    tab.close()


def test_a_section_that_fails_leaves_the_others_alive(page, tmp_path, open_page):
    text = page.read_text()
    broken = tmp_path / "page.html"
    # the text of an error is shown as it is, too
    broken.write_text(
        re.sub(
            r'"latent_map":{"tensors":{"specs":\[', r'"latent_map":{"tensors":{"specs":[{},', text
        )
    )
    assert broken.read_text() != text
    tab = open_page(broken)
    before = grey(tab)
    assert "This part of the page failed" in tab.inner_text("#latent_map .failed")
    tab.evaluate("app.set({z: [3, 3, 3, 3]})")
    assert np.abs(grey(tab).astype(int) - before).max() > 0
    assert tab.locator("#stage .failed").count() == 0


def test_a_decoder_that_fails_says_so_and_works_again(page, open_page):
    tab = open_page(page)
    tab.evaluate(
        "async () => { window.own = app.model.run;"
        " app.model.run = async () => { throw new Error('no <b>'); };"
        " await app.set({z: [1, 1, 1, 1]}) }"
    )
    assert tab.inner_text("#status") == "Not decoded: no <b>"
    tab.evaluate("async () => { app.model.run = window.own; await app.set({z: [1, 1, 1, 1]}) }")
    assert tab.inner_text("#status") == ""
    assert grey(tab).max() > 0


def test_the_picture_is_saved_enlarged(page, open_page):
    tab = open_page(page)
    with tab.expect_download() as download:
        tab.click("#save")
    image = Image.open(io.BytesIO(download.value.path().read_bytes()))
    assert image.size == (512, 512)
    assert (np.array(image)[::64, ::64, 0] == grey(tab)).all()


def test_the_keyboard_reaches_everything(page, open_page):
    tab, reached = open_page(page), []
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.append(
            tab.evaluate(
                "(e => e.id || e.className || e.name || e.tagName)(document.activeElement)"
            )
        )
    for name in ("skip", "theme", "SUMMARY", "save", "map_style", "map_kind", "map_canvas"):
        assert name in reached, f"{name} is not among {reached}"
    # each thing that has the focus shows it
    tab.focus(".map_canvas")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    headings = tab.eval_on_selector_all("h1, h2, h3", "all => all.map(h => Number(h.tagName[1]))")
    assert headings[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(headings))


def test_a_screen_reader_hears_of_the_picture_when_it_rests(page, open_page):
    tab = open_page(page)
    tab.evaluate("app.set({z: [1, -0.5, 0, 0]})")
    assert "1.00, −0.50, 0.00, 0.00" in tab.get_attribute("#decoded", "aria-label")
    assert "−0.50" not in tab.inner_text("#said")
    tab.locator("#said", has_text="−0.50").wait_for(state="attached")


def test_without_javascript_there_is_a_sentence_and_the_facts(page, chromium):
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"file://{page}")
    assert "allow it" in tab.inner_text("noscript")
    assert "bits/dim 2.5000 (bound)" in tab.inner_text("header")
    context.close()


THEMES = [
    ("dark", "light", DARK),
    ("light", "dark", LIGHT),
    ("", "dark", DARK),
    ("x", "light", LIGHT),
]


@pytest.mark.parametrize(("kept", "system", "colour"), THEMES)
def test_the_first_paint_has_the_colours_that_were_chosen(page, chromium, kept, system, colour):
    context = chromium.new_context(color_scheme=system)
    tab = context.new_page()
    tab.add_init_script(f"localStorage.setItem('gdl-theme', {kept!r})")
    # the colour before the modules of the page run
    tab.add_init_script(
        f"addEventListener('readystatechange', () => window.first ??= {BACK}, true);"
    )
    tab.goto(f"file://{page}")
    tab.wait_for_selector("html[data-ready]")
    assert tab.evaluate("window.first") == colour
    assert tab.evaluate(BACK) == colour
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_chosen_is_seen_in_the_colours_of_the_reader(page, open_page, scheme):
    """Forced colours paint all backgrounds alike, unless a rule says that one has a meaning."""
    tab = open_page(page, forced_colors="active", color_scheme=scheme)
    back = "all => all.map(e => getComputedStyle(e).backgroundColor)"
    for part in ("#theme", ".map_controls fieldset", ".map_path fieldset"):
        chosen = tab.eval_on_selector_all(f"{part} :checked + span", back)
        others = tab.eval_on_selector_all(f"{part} :not(:checked) + span", back)
        assert chosen
        assert not {*chosen} & {*others}, part
    tab.click("[data-do=eraser]")
    pressed = tab.eval_on_selector_all("[data-do=eraser]", back)
    assert pressed != tab.eval_on_selector_all("[data-do=clear]", back)
    # colours of classes and lengths of bars
    assert len({*tab.eval_on_selector_all(".map_legend i", back)}) == 10
    bar, behind = (tab.eval_on_selector_all(f".sliders_worth {tag}", back) for tag in "bi")
    assert not {*bar} & {*behind}


def test_a_phone_of_320_pixels_has_room_for_each_row(page, open_page):
    tab = open_page(page, viewport={"width": 320, "height": 600})
    tab.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    tab.wait_for_selector(".sliders_row")
    right = "all => Math.max(...all.map(e => e.getBoundingClientRect().right))"
    edge = tab.evaluate("document.querySelector('main').getBoundingClientRect().right")
    assert tab.eval_on_selector_all("main *:not(.unseen, .unseen *)", right) <= edge + 0.5


def test_parts_of_the_page_name_latents_alike(page, open_page):
    tab = open_page(page)
    names = set(tab.eval_on_selector_all(".map_axes option", "all => all.map(e => e.textContent)"))
    tab.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    tab.wait_for_function("n => document.querySelectorAll('.sliders_row').length === n", arg=4)
    text = "all => all.map(e => e.textContent)"
    assert names & {*tab.eval_on_selector_all(".sliders_row label", text)} == names


STATE = """() => [...document.querySelectorAll("main input, main select, main output, figcaption")]
  .map(e => e.type === "radio" || e.type === "checkbox" ? e.checked : e.value ?? e.textContent)"""


def test_who_comes_back_finds_controls_that_say_what_is_shown(page, open_page):
    tab = open_page(page)
    first = tab.evaluate(STATE)
    for name in ("thumbnails", "pair", "spherical"):
        tab.check(f"main input[value={name}]", force=True)
    for name in ("difference", "fit"):
        tab.locator(f"[data-of={name}]").click()
    for name in (".sliders_temperature", "[data-of=width]"):
        tab.eval_on_selector(
            name, "e => { e.value = e.min; e.dispatchEvent(new Event('input', {bubbles: true})) }"
        )
    tab.fill(".sliders_seed", "12")
    tab.press(".sliders_seed", "Enter")
    assert tab.evaluate(STATE) != first
    tab.goto("about:blank")
    tab.go_back()
    tab.wait_for_selector("html[data-ready]")
    assert tab.evaluate(STATE) == first


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_paper_is_white_and_keeps_what_colours_say(page, open_page, theme):
    tab = open_page(page, color_scheme=theme)
    tab.emulate_media(media="print", color_scheme=theme)
    style = (
        "e => { const s = getComputedStyle(e); return [s.color, s.backgroundColor, s.position] }"
    )
    assert tab.eval_on_selector("body", style)[:2] == ["rgb(29, 33, 38)", "rgb(255, 255, 255)"]
    assert tab.eval_on_selector("#stage", style)[2] == "static"
    exact = "all => all.every(e => getComputedStyle(e).printColorAdjust === 'exact')"
    for part in ("canvas", ".map_legend i", ".sliders_worth b", ".segments span"):
        assert tab.eval_on_selector_all(part, exact), part
    assert tab.is_visible(".map_legend")


@pytest.mark.parametrize(("width", "height"), [(640, 360), (640, 400), (360, 740)])
def test_the_picture_stays_in_sight_and_leaves_room(page, open_page, width, height):
    tab = open_page(page, viewport={"width": width, "height": height}, has_touch=True)
    tab.evaluate("document.documentElement.style.scrollBehavior = 'auto'; scrollTo(0, 1500)")
    box = tab.locator("#stage").bounding_box()
    assert -1 < box["y"] < 5
    assert box["height"] < height / 3


def test_a_finger_finds_each_control(page, open_page):
    tab = open_page(page, viewport={"width": 360, "height": 740}, has_touch=True)
    assert tab.evaluate("matchMedia('(pointer: coarse)').matches")
    small = tab.evaluate("""() => [
        ...document.querySelectorAll("button, select, main input, .segments label")]
      .filter(e => e.checkVisibility() && !e.closest(".segments input, .unseen"))
      .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect().height])
      .filter(([, height]) => height < 24)""")
    assert small == []
