"""A conditional model's page has its classes by name, and a choice of none where the model has one."""

import json
import re

import pytest
import torch
from page_models import build

from gdl.data import Digits
from gdl.explorer import Subject, write_page
from gdl.runs.directory import Run

NAMES = ["<b>zero</b>", "one", "two"]


def page(folder, labels, config_names=None):
    model = build("Autoencoder", "mlp", "digits", labels=labels)
    if config_names:
        model.config["class_names"] = config_names
    # three of the ten classes
    data = Digits(shape=(1, 8, 8), levels=17)
    data.setup()
    data._splits = {name: (x[y < 3], y[y < 3]) for name, (x, y) in data._splits.items()}
    return model, write_page(Subject(Run(folder), model, data, 20), folder / "page.html")


@pytest.mark.parametrize("labels", ["", "labels", "labels or none"])
def test_classes_of_the_content(tmp_path, labels):
    model, path = page(tmp_path, labels, NAMES if labels == "labels" else None)
    text = re.search(r'id="content">(.*?)</script>', path.read_text(), re.DOTALL)
    content = json.loads(text[1])
    expected = {"": None, "labels": NAMES, "labels or none": [str(i) for i in range(70)]}
    assert content["classes"] == expected[labels]
    assert content["no_class"] == (70 if model.label_dropout else None)


def test_the_page_decodes_each_class_and_none(tmp_path, open_page):
    model, path = page(tmp_path, "labels or none")
    tab = open_page(path)
    z = torch.randn(1, *model.latent_shape)
    for row in (0, 69, 70):
        tab.evaluate("([z, y]) => app.set({z, y})", [z[0].tolist(), row])
        image = torch.tensor(tab.evaluate("Array.from(app.image.data)")).view(1, *model.shape)
        with torch.inference_mode():
            own = model.decode(z, torch.tensor([row if row < 70 else -1]))
        assert float((image - own).abs().max()) * 255 / 16 <= 2


@pytest.mark.parametrize("width", [360, 1000])
def test_long_names_do_not_widen_the_page(tmp_path, open_page, width):
    _, path = page(tmp_path, "labels", ["x" * 300, "\u202egnp.exe", "word " * 40])
    tab = open_page(path, viewport={"width": width, "height": 700})
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    boxes = tab.eval_on_selector_all(
        ".sliders_classes span", "all => all.map(e => [e.scrollWidth, e.clientWidth])"
    )
    assert len(boxes) == 3
    assert all(inner <= outer for inner, outer in boxes)
