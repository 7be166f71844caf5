"""Weights of several epochs in one page: their slider, the points that move, what is refused."""

import numpy as np
import pytest
import torch
from on_digits import decoded, digits_model, grey, on_digits

from gdl.errors import GdlError
from gdl.explorer import epochs as module
from gdl.explorer import write_page
from gdl.explorer.epochs import read_epochs, thinned
from gdl.explorer.sections.checkpoints import content
from gdl.runs.directory import Run
from gdl.runs.epochs import epoch_file

NUMBERS = [0, 1, 3, 7]


def keep(folder, number, model, **facts):
    """Write the weights of an epoch as training does."""
    path = epoch_file(folder / "checkpoints", number)
    path.parent.mkdir(exist_ok=True)
    config = {"model": {"_target_": "gdl.models.VAE"}}
    torch.save({"state_dict": model.state_dict(), "gdl_config": config, **facts}, path)


@pytest.fixture
def kept(tmp_path):
    """A run whose epochs have been kept, the best of them epoch 3, and their models."""
    models = {n: digits_model(latents=3, seed=n) for n in NUMBERS}
    for n, model in models.items():
        keep(tmp_path, n, model, gdl_validation={"val/bpd": 3 - n / 10, "val/nll": 99.0})
    return tmp_path, models


def subject_of(folder, model):
    return on_digits(model, folder, epochs=read_epochs(Run(folder), model))


def test_each_epoch_decodes_with_its_own_weights(kept, open_page) -> None:
    folder, models = kept
    tab = open_page(write_page(subject_of(folder, models[3]), folder / "page.html"))
    z = [0.5, -1.0, 2.0]
    tab.evaluate("z => app.set({z})", z)
    slider, label = "#checkpoints input", ".checkpoints_label"
    assert tab.text_content(label) == "the best: epoch 3 of 7, val 2.700 bits/dim (bound)"
    assert np.abs(grey(tab) - decoded(models[3], z)).max() <= 2
    tab.focus(slider)
    tab.keyboard.press("Home")
    assert "100 test images" in tab.text_content(".checkpoints_hint")
    for n in [0, 1, 7, 3]:  # the best ones are the last
        text = tab.text_content(label)
        assert text == tab.get_attribute(slider, "aria-valuetext")
        assert ("before the first step" in text) == (n == 0)
        assert f"epoch {n} of 7" in text or n == 0
        assert np.abs(grey(tab) - decoded(models[n], z)).max() <= 2
        tab.keyboard.press("ArrowRight")
    assert "best weights" not in tab.text_content("#sliders [role=status]")


def test_playing_shows_every_epoch_and_ends_at_the_best(kept, open_page) -> None:
    folder, models = kept
    tab = open_page(write_page(subject_of(folder, models[3]), folder / "page.html"))
    tab.evaluate(
        "() => { window.seen = []; app.on('checkpoint', () => seen.push(app.checkpoint)) }"
    )
    assert tab.evaluate("app.checkpoint") == 3, "nothing starts by itself"
    tab.click("#checkpoints button:text('play')")
    tab.wait_for_selector("#checkpoints button:text('play')", timeout=20_000)
    assert tab.evaluate("seen") == [0, 1, 2, 3]
    assert tab.evaluate("app.checkpoint") == 3


def test_a_page_of_several_epochs_fits_a_phone(kept, open_page) -> None:
    folder, models = kept
    path = write_page(subject_of(folder, models[3]), folder / "page.html")
    tab = open_page(path, viewport={"width": 360, "height": 700}, color_scheme="dark")
    height = tab.evaluate("document.getElementById('checkpoints').offsetHeight")
    tab.evaluate("app.useCheckpoint(0)")
    assert tab.evaluate("document.getElementById('checkpoints').offsetHeight") == height
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    drawn = tab.evaluate(
        "() => { const c = document.querySelector('.checkpoints_canvas');"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v) }"
    )
    assert drawn, "there are points"


def test_positions_are_components_of_the_best_or_the_two_latents(kept) -> None:
    folder, models = kept
    found = content(subject_of(folder, models[3]))
    assert found["positions"]["specs"][0][0] == [4, 100, 2]
    assert len(found["epochs"]) == 4
    assert found["left_out"] == []
    assert "components" in found["axes"]
    assert content(on_digits(models[3], folder)) is None


def test_a_best_that_was_not_kept_comes_last(kept) -> None:
    folder, _ = kept
    found = content(subject_of(folder, digits_model(latents=3, seed=9)))
    assert len(found["epochs"]) == 5
    assert found["epochs"][-1] == "the best of all epochs"


def test_a_page_has_room_for_so_much(kept, monkeypatch) -> None:
    folder, models = kept
    params = sum(p.numel() for p in models[3].parameters())
    monkeypatch.setattr(module, "MOST_BYTES", 2.7 * params * 4.5)
    found = content(subject_of(folder, models[3]))
    assert found["left_out"] == [1]
    assert "epoch 7 of 7" in found["epochs"][-2]
    monkeypatch.setattr(module, "MOST_BYTES", 2.7 * params * 2.5)
    with pytest.raises(GdlError, match=r"checkpoints=true is for small models.*leave it out\.$"):
        read_epochs(Run(folder), models[3])
    assert thinned(range(30), 7) == [0, 5, 10, 14, 19, 24, 29]


def test_what_is_no_epoch_of_the_run_is_refused(kept) -> None:
    folder, models = kept
    with pytest.raises(GdlError, match="callbacks=history") as e:
        read_epochs(Run(folder / "other"), models[3])
    assert "\n" not in str(e.value)
    keep(folder, 9, digits_model(latents=4))
    with pytest.raises(GdlError):
        read_epochs(Run(folder), models[3])


@pytest.mark.parametrize("value", [None, 3, "<b>", {"val/bpd": "<b>"}, {"val/bpd": float("nan")}])
def test_numbers_of_a_strangers_file_are_numbers_or_left_out(value, kept) -> None:
    folder, models = kept
    keep(folder, 9, digits_model(latents=3, seed=9), gdl_validation=value)
    found = content(subject_of(folder, models[3]))
    assert found["epochs"][-2] == "epoch 9 of 9"
