"""The page of many runs, from run directories made here: its content, and how a browser shows it."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from gdl.comparison.entries import read_runs
from gdl.comparison.page.curves import read_curves
from gdl.comparison.page.page import write_page
from gdl.comparison.page.pictures import MAX_BYTES, as_data_uri
from gdl.comparison.seeds import group_seeds
from gdl.errors import GdlError

pytest.importorskip("plotly", reason="the page needs the extra gdl[report]")

ROOT = Path(__file__).resolve().parent.parent
EVIL = "<img src=x onerror=hacked=1>"
LINK = "javascript:hacked=1"
SCRIPT = "</script><script>hacked=1</script>{{css}}"


def add_run(folder, name, metrics, columns=(), rows=(), seed=0, lr="0.001", samples=True):
    run = folder / name
    for part in (".hydra", "images"):
        (run / part).mkdir(parents=True)
    config = {"seed": seed, "model": {"lr": lr, "batch": 8, "again": "${model.lr}"}}
    known = {"data/shape": [1, 8, 8], "data/levels": 17, "data/digest": "ab" * 32}
    known |= {"data/train": 1300, "data/val": 200, "data/test": 297}
    (run / ".hydra" / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    (run / "run.json").write_text("{}")
    (run / "metrics.json").write_text(
        json.dumps({"data": "digits", "seed": seed, **known, **metrics})
    )
    if columns:
        lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
        (run / "metrics.csv").write_text("\r\n".join(lines) + "\r\n")
    if samples:
        Image.new("L", (20, 20), 99).save(run / "images" / "samples_epoch0001.png")
    return run


def logged(term="bpd", seconds=True, last=2.0):
    """Return columns and rows as train.py logs them: train and val in rows of their own."""
    rows = [
        (10 * i, *row, 1.5 * i) for i in range(1, 6) for row in ((last + 1 / i, ""), ("", last))
    ]
    columns = ("step", f"train/{term}", f"val/{term}", "seconds")
    return (columns, rows) if seconds else (columns[:3], [r[:3] for r in rows])


def comparison(folder):
    entries, unfinished = read_runs([folder])
    return group_seeds(entries), unfinished


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The file: six lines on the digits, in which 9 < 70 < 200 < 1000 parameters, and a toy."""
    folder = tmp_path_factory.mktemp("runs")
    vae = {"model": "vae", "kind": "bound", "params": 1000, "train_seconds": 10}
    vae |= {"test/rate": 0.1, "test/distortion": 9.5}
    for seed in (0, 1):
        add_run(folder, f"vae{seed}", {**vae, "test/bpd": 2 + seed / 10}, *logged(), seed=seed)
    nice = {"model": "nice", "kind": "dequant-1", "test/bpd": 3.0, "params": 200}
    add_run(folder, "nice", {**nice, "dequant-16/bpd": 2.9, "sampling_ms": 0.5}, *logged())
    glow = {"model": "glow", "kind": "dequant-1", "test/bpd": 3.5, "test/bpd_se": 0.25}
    add_run(folder, "untimed", {**glow, "params": 70}, *logged(seconds=False), lr="0.01")
    add_run(folder, "no curve", {**glow, "test/bpd": math.nan, "params": 300}, samples=False)
    add_run(folder, LINK, {"model": "ae", "kind": None, "test/mse": 1.0}, *logged("loss"))
    evil = {"model": SCRIPT, "kind": EVIL, "test/bpd": 4.0, "params": 9}
    add_run(folder, EVIL, evil, *logged(), lr=SCRIPT)
    toy = {"model": "realnvp", "data": "toy2d", "kind": "exact", "test/nll": 2.5, "params": 5}
    toy |= {"data/levels": None}
    add_run(folder, "toy", {**toy, "data/target": "rings"}, *logged("nll"))
    shutil.rmtree(folder / "nice" / "images")
    (add_run(folder, "running", {}) / "metrics.json").unlink()
    return write_page(*comparison(folder), folder / "report.html")


@pytest.fixture(scope="module")
def opened(chromium, page):
    tab, wrong = chromium.new_page(), []
    tab.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda e: wrong.append(str(e)))
    tab.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(OWN) else None)
    tab.goto(f"file://{page}", timeout=120_000)
    tab.wait_for_selector("#data-0 .front .main-svg")
    return tab, wrong


@pytest.fixture
def tab(opened):
    """The page in a browser, opened once, as tests leave it that undo what they did.

    No error, and no request but for the file itself, may come.
    """
    tab, wrong = opened
    yield tab
    assert wrong == []


OWN = ("file:", "data:", "blob:")
DIGITS = "#data-0"


def column(tab, name):
    """Return the texts of a column, from the top."""
    cells = tab.locator(f"{DIGITS} .comparison tbody td[data-name='{name}']")
    return cells.all_inner_texts()


def traces(tab, figure):
    read = "e => e.data.map(t => ({meta: t.meta, x: t.x, y: t.y, visible: t.visible}))"
    return tab.eval_on_selector(f"{DIGITS} {figure} .plot", read)


def row_id(tab, text):
    row = tab.locator(f"{DIGITS} .comparison tbody tr", has_text=text)
    return row, int(row.get_attribute("data-run"))


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_page_is_one_file_that_loads_nothing_and_texts_of_runs_stay_texts(page):
    text = page.read_text()
    assert len(text) < 10e6
    tags = Tags(text)
    links = [v for _, attrs in tags.found for k, v in attrs.items() if k in ("src", "href")]
    assert links
    assert all(v.startswith(("#", "./", "data:image/png;base64,")) for v in links)
    files = [page.parent / unquote(v) for v in links if v.startswith("./")]
    assert all(f.exists() for f in files), "a link leads nowhere"
    assert sum(f.suffix == ".png" for f in files) == 5, "each picture is a link to its file"
    assert page.parent / EVIL in [f.resolve() for f in files]
    assert "${" not in tags.text.partition('{"id"')[0]
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?://|@import|url\(", own)
    assert sum(tag == "script" for tag, _ in tags.found) == 3
    assert not any("onerror" in attrs for _, attrs in tags.found)
    assert EVIL in tags.text
    assert SCRIPT in tags.text
    assert all(attrs.get("alt") for tag, attrs in tags.found if tag == "img")
    assert "1 without results" in tags.text


def test_the_browser_shows_all_lines_and_runs_no_text(tab):
    assert tab.evaluate("typeof hacked") == "undefined"
    assert column(tab, "model") == ["vae", "nice", "glow", SCRIPT, "ae", "glow"]
    assert column(tab, "result")[:3] == ["2.0500 ± 0.0500", "2.9000", "3.5000 ± 0.2500"]
    assert column(tab, "kind")[:2] == ["bound", "dequant-16"]
    assert "no density" in column(tab, "kind")
    assert tab.locator("#data-1 .comparison th").nth(3).inner_text().startswith("test nats")
    tab.locator("#data-1").scroll_into_view_if_needed()
    tab.wait_for_selector("#data-1 .curves .main-svg")
    legend = tab.locator(f"{DIGITS} .curves .legendtext").all_text_contents()
    assert any(t.startswith("</script><script>") for t in legend)
    differing = tab.locator(f"{DIGITS} .differences tbody th").all_inner_texts()
    assert differing == ["model.lr"]


def test_a_click_sorts_numbers_as_numbers_both_ways(tab):
    header = tab.locator(f"{DIGITS} .comparison th", has_text="parameters")
    header.get_by_role("button").click()
    assert column(tab, "parameters") == [
        "9†",
        "70†",
        "200†",
        "300",
        "1,000†",
        "-",
    ]  # no text order
    assert header.get_attribute("aria-sort") == "ascending"
    tab.keyboard.press("Enter")  # the focus is on the button
    assert column(tab, "parameters") == ["1,000†", "300", "200†", "70†", "9†", "-"]
    assert header.get_attribute("aria-sort") == "descending"
    assert tab.locator(f"{DIGITS} th:not([aria-sort=none])[aria-sort]").count() == 1
    tab.locator(f"{DIGITS} .comparison th button", has_text="model").click()
    assert column(tab, "model")[1:] == ["ae", "glow", "glow", "nice", "vae"]
    tab.locator(f"{DIGITS} .comparison th button", has_text="test").click()


def test_a_checkbox_takes_a_run_out_of_all_figures(tab):
    row, run = row_id(tab, "vae")
    curves = [t for t in traces(tab, ".curves") if t["meta"] == run]
    assert len(curves) == 4, "train and val of two seeds"
    assert all(t["visible"] for t in curves)
    assert any(run in t["meta"] for t in traces(tab, ".front"))
    picture = tab.locator(f'{DIGITS} .samples figure[data-of="{run}"]')
    assert picture.is_visible()
    row.locator("input").uncheck()
    assert not any(t["visible"] for t in traces(tab, ".curves") if t["meta"] == run)
    assert any(t["visible"] for t in traces(tab, ".curves"))
    assert not any(run in t["meta"] for t in traces(tab, ".front"))
    assert picture.is_hidden()
    row.locator("input").check()
    assert all(t["visible"] for t in traces(tab, ".curves") if t["meta"] == run)


def test_a_switch_puts_training_time_on_the_axis(tab):
    _, run = row_id(tab, "vae")
    _, untimed = row_id(tab, "lr=0.01")
    mine = lambda i: next(t for t in traces(tab, ".curves") if t["meta"] == i)  # noqa: E731
    assert mine(run)["x"] == [10, 20, 30, 40, 50]
    note = tab.locator(f"{DIGITS} .time")
    assert note.is_hidden()
    tab.locator(f"{DIGITS} .curves").get_by_label("training time").check()
    assert mine(run)["x"] == [1.5, 3, 4.5, 6, 7.5]
    assert "time (s)" in tab.locator(f"{DIGITS} .curves .xtitle").text_content()
    assert not mine(untimed)["visible"]
    assert "only over steps: glow" in note.inner_text()
    tab.locator(f"{DIGITS} .front").get_by_label("ms a sample").check()
    assert [t["x"] for t in traces(tab, ".front")] == [[0.5]]
    assert tab.locator(f"{DIGITS} .unsteady").is_visible(), "no run is better by its sampling time"
    tab.locator(f"{DIGITS} select").select_option("loss")
    assert {t["meta"] for t in traces(tab, ".curves")} == {row_id(tab, "no density")[1]}
    tab.locator(f"{DIGITS} select").select_option("bpd")
    tab.locator(f"{DIGITS} .curves").get_by_label("steps").check()
    tab.locator(f"{DIGITS} .front").get_by_label("parameters").check()


def test_the_filter_leaves_the_rows_that_have_all_words_in_tables_and_figures(tab):
    tab.locator("#filter").fill("GLOW dequant")
    assert tab.locator(f"{DIGITS} .comparison tbody tr:visible").count() == 2
    assert tab.locator("#data-1").is_hidden()
    assert tab.locator("nav a:visible").count() == 1
    _, untimed = row_id(tab, "lr=0.01")
    assert {t["meta"] for t in traces(tab, ".curves") if t["visible"]} == {untimed}
    assert [i for t in traces(tab, ".front") for i in t["meta"]] == [untimed]
    assert tab.locator(f"{DIGITS} .samples figure:visible").count() == 1
    tab.locator(f"{DIGITS} .all").uncheck()
    assert not any(t["visible"] for t in traces(tab, ".curves"))
    tab.locator("#filter").fill("")
    assert tab.locator(f"{DIGITS} .comparison tbody input:checked").count() == 4
    tab.locator(f"{DIGITS} .all").check()
    assert tab.locator("#data-1").is_visible()
    assert len({t["meta"] for t in traces(tab, ".curves") if t["visible"]}) == 4


def test_a_filter_without_a_match_says_so(tab):
    nothing = tab.get_by_text("No match")
    assert nothing.is_hidden()
    tab.locator("#filter").fill("digits no-such-word")
    assert nothing.is_visible()
    assert tab.locator("section:visible").count() == 0
    tab.locator("#filter").fill("digits")  # the name of the data counts as a word of its rows
    assert nothing.is_hidden()
    assert tab.locator("section:visible").count() == 1
    tab.locator("#filter").fill("")


def test_names_stand_beside_the_cost_points(tab):
    names = tab.locator(f"{DIGITS} .front .textpoint").all_text_contents()
    assert len(names) == 4, "as many as have parameters and a result"
    assert {"vae", "nice", "glow lr=0.01"} <= set(names)
    # by the time of a sample no run is better, and the points have names nevertheless
    tab.locator(f"{DIGITS} .front").get_by_label("ms a sample").check()
    assert tab.locator(f"{DIGITS} .front .textpoint").all_text_contents() == ["nice"]
    tab.locator(f"{DIGITS} .front").get_by_label("parameters").check()
    boxes = [t.bounding_box() for t in tab.locator(f"{DIGITS} .front .textpoint").all()]
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            apart = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
            assert (
                apart or a["y"] + a["height"] <= b["y"] + 2 or b["y"] + b["height"] <= a["y"] + 2
            )


def test_the_buttons_of_a_plot_share_nothing(tab):
    titles = tab.locator(f"{DIGITS} .modebar-btn").evaluate_all(
        "all => all.map(b => b.dataset.title)"
    )
    assert len(titles) == 12
    assert not any(re.search("share|cloud|upload|plotly", t, re.IGNORECASE) for t in titles)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_screen_and_a_phone_shows_no_empty_cell(tab, width):
    tab.set_viewport_size({"width": width, "height": 800})
    tab.wait_for_timeout(500)  # the plots follow
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    plots = [p.bounding_box() for p in tab.locator(f"{DIGITS} .plot .main-svg").all()]
    assert plots
    assert all(p["x"] >= 0 and p["x"] + p["width"] <= width for p in plots)
    if width < 400:
        texts = tab.locator(f"{DIGITS} .comparison td:not(.pick):visible").all_inner_texts()
        assert texts
        assert not {t.strip() for t in texts} & {"", "-"}
        rights = [c.bounding_box() for c in tab.locator(f"{DIGITS} .comparison td:visible").all()]
        assert all(c["x"] + c["width"] <= width for c in rights), "no number is cut off"
    tab.set_viewport_size({"width": 1280, "height": 720})


def test_curves_are_thinned_to_their_last_point_and_damaged_rows_left_out(tmp_path):
    columns, rows = ("step", "train/bpd", "seconds"), [(i, i / 2, i / 4) for i in range(1001)]
    path = add_run(tmp_path, "long", {}, columns, [*rows, (1001, "nan", 1), (1002, 1)])
    curves = read_curves(path / "metrics.csv")
    train = curves["train"]
    assert curves.keys() == {"term", "train"}
    assert len(train["step"]) == len(train["seconds"]) == len(train["value"]) <= 200
    assert (train["step"][-1], train["seconds"][-1], train["value"][-1]) == (1000, 250, 500)
    (path / "metrics.csv").write_text("")
    assert read_curves(path / "metrics.csv") is None
    assert read_curves(path / "none.csv") is None


def test_large_grids_and_many_runs_are_cut_down_and_the_page_says_so(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    for i in range(20):
        metrics = {"model": "vae", "kind": "bound", "test/bpd": 2 + i}
        run = add_run(tmp_path, f"run{i:02}", metrics, *logged(), lr=i)
    Image.fromarray(noise).save(run / "images" / "samples_epoch0002.png")
    uri, cut = as_data_uri(run / "images" / "samples_epoch0002.png")
    assert cut
    assert len(uri) < MAX_BYTES * 1.4
    tags = Tags(write_page(*comparison(tmp_path), tmp_path / "report.html").read_text())
    assert sum(tag == "img" for tag, _ in tags.found) == 16
    assert "shown for the best 16 of 20 rows" in tags.text


def test_the_command_writes_the_page_and_answers_bad_input_in_a_sentence(tmp_path, monkeypatch):
    add_run(tmp_path, "run", {"model": "vae", "kind": "bound", "test/bpd": 2}, *logged())

    def compare(*args):
        command = [sys.executable, "compare.py", str(tmp_path), *args]
        env = os.environ | {"COLUMNS": "200"}
        return subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
        )

    done = compare("report=html")
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "report.html") in done.stdout
    assert (tmp_path / "report.html").is_file()
    refused = compare("report=pdf")
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "error: report=pdf does not exist: report=html writes a page."
    ]
    with pytest.raises(GdlError, match="is not a folder"):
        write_page(*comparison(tmp_path), tmp_path / "none" / "report.html")
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(GdlError, match="pip install plotly"):
        write_page(*comparison(tmp_path), tmp_path / "report.html")


def test_rate_and_distortion_are_points_and_collapse_is_a_sentence(tab):
    _, run = row_id(tab, "vae")
    found = [t for t in traces(tab, ".plane") if t["meta"]]
    assert [(t["meta"], t["x"], t["y"]) for t in found] == [([run], [0.1], [9.5])]
    lines = [t for t in traces(tab, ".plane") if not t["meta"]]
    assert lines
    for line in lines:
        sums = [x + y for x, y in zip(line["x"], line["y"], strict=True)]
        assert sums == pytest.approx([sums[0]] * 3)
    told = tab.locator(f"{DIGITS} .plane .collapse").inner_text()
    assert "does not use its latents (the rate is 0.1 nats)" in told
    assert tab.locator("#data-1 .plane").count() == 0
