"""The sliders: sorted by what latents carry, seeded draws, classes; the picture follows."""

import numpy as np
import pytest
import torch
from on_digits import decoded, digits_model, grey, on_digits

from gdl.distributions import gaussian_kl
from gdl.explorer import write_page
from gdl.explorer.sections.sliders import content, factor_of, ranges, worth_of_latents

SCALES = [0.6, 0.0, 2.0, 1.0, 0.0, 0.3]


def uniforms(seed, n):
    """mulberry32 in numpy."""
    with np.errstate(over="ignore"):
        state, found = np.uint32(seed), []
        for _ in range(n):
            state = np.uint32(state + np.uint32(0x6D2B79F5))
            t = (state ^ (state >> np.uint32(15))) * (state | np.uint32(1))
            t ^= t + (t ^ (t >> np.uint32(7))) * (t | np.uint32(61))
            found.append(float(t ^ (t >> np.uint32(14))) / 2**32)
    return np.array(found)


def normals(seed, n):
    u = uniforms(seed, n + n % 2).reshape(-1, 2)
    radius, angle = np.sqrt(-2 * np.log(1 - u[:, 0])), 2 * np.pi * u[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).flatten()[:n]


def latents(tab):
    return np.array(tab.evaluate("[...app.z]"))


def names(tab, root="#sliders > .sliders_list"):
    return tab.locator(f"{root} .sliders_row label").all_text_contents()


def click(tab, name):
    tab.click(f"#sliders [data-do={name}]")


def test_latents_are_sorted_by_kl_and_idle_ones_come_last(tmp_path) -> None:
    model = digits_model(scales=SCALES)
    subject = on_digits(model, tmp_path)
    found = content(subject)
    mean, log_std = subject.posterior
    kl = gaussian_kl(mean, log_std).mean(0)
    assert found["worth"] == pytest.approx(kl.tolist(), abs=1e-4)
    assert found["active"] == 4
    active = [j for j, s in enumerate(SCALES) if s]
    assert found["order"][:4] == sorted(active, key=lambda j: -kl[j])
    assert sorted(found["order"]) == list(range(6))
    for low, high, codes in zip(found["low"], found["high"], mean.T, strict=True):
        assert low <= min(-3, float(codes.min()))
        assert max(3, float(codes.max())) <= high


@pytest.mark.parametrize("reach", [None, 3.0])
def test_sliders_hold_all_codes(reach: float | None) -> None:
    codes = torch.randn(200, 5) * torch.tensor([0.001, 0.3, 1.7, 7.0, 900.0]) + 2.345
    for low, high, own in zip(*ranges(codes, reach), codes.T, strict=True):
        assert low <= float(own.min()) < float(own.max()) <= high
        assert reach is None or low <= -reach < reach <= high


def test_shares_of_an_autoencoder_are_those_of_the_variance() -> None:
    codes = torch.randn(200, 3) * torch.tensor([3.0, 1.0, 0.001]) + 5
    share, active = worth_of_latents(codes, None)
    assert float(share.sum()) == pytest.approx(1)
    assert share[:2].tolist() == pytest.approx([0.9, 0.1], abs=0.05)
    assert active.tolist() == [True, True, False]


@pytest.mark.filterwarnings("error")
def test_one_image_alone_has_latents_that_carry_something() -> None:
    codes = torch.tensor([[0.0, 2.0, -1.0]])
    assert worth_of_latents(codes, torch.zeros(1, 3))[1].tolist() == [False, True, True]
    assert worth_of_latents(codes, None)[1].all()


def test_codes_that_are_not_finite_are_left_out(tmp_path) -> None:
    subject = on_digits(digits_model("ae"), tmp_path)
    codes = subject.posterior[0].clone()
    codes[3] = torch.nan
    subject.posterior = codes, None
    assert content(subject)["images"] == len(codes) - 1
    subject.posterior = codes.fill_(torch.inf), None
    assert content(subject) is None


def test_sliders_move_the_latents_and_the_picture(tmp_path, open_page) -> None:
    model = digits_model(scales=SCALES)
    subject = on_digits(model, tmp_path)
    found = content(subject)
    tab = open_page(write_page(subject, tmp_path / "page.html"))
    assert names(tab) == [f"z{j}" for j in found["order"][:4]]
    first = tab.locator("#sliders .sliders_row input").first
    j = found["order"][0]
    first.focus()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    step = (found["high"][j] - found["low"][j]) / 120
    z = latents(tab)
    assert z[j] == pytest.approx(3 * step, abs=0.51 * step)
    assert np.abs(np.delete(z, j)).max() == 0
    assert first.get_attribute("aria-valuetext") == f"{z[j]:.2f}"
    assert np.abs(grey(tab) - decoded(model, z)).max() <= 2
    # the latents that carry nothing are folded away, and can be moved
    assert names(tab, ".sliders_rest") == []
    assert tab.text_content(".sliders_rest summary") == "show the 2 latents that carry nothing"
    tab.click(".sliders_rest summary")
    tab.wait_for_selector(".sliders_rest .sliders_row")
    assert sorted(names(tab, ".sliders_rest")) == ["z1", "z4"]
    # another section moves them too, beyond the ends; undo and reset
    tab.evaluate("app.set({z: [9, 1, 1, 1, 1, -1.5]}, 'other')")
    values = tab.locator("#sliders > .sliders_list output").all_text_contents()
    shown = dict(zip(names(tab), values, strict=True))
    assert shown["z0"] == "9.00"
    assert shown["z5"] == "−1.50"
    click(tab, "reset")
    assert not latents(tab).any()
    click(tab, "undo")
    assert latents(tab).tolist() == [9, 1, 1, 1, 1, -1.5]
    click(tab, "undo")
    click(tab, "undo")
    assert tab.is_enabled("[data-do=undo]")
    click(tab, "undo")
    assert not latents(tab).any()
    assert tab.is_disabled("[data-do=undo]")


@pytest.mark.parametrize("kind", ["vae", "ae"])
def test_draws_are_those_of_the_formula(kind: str, tmp_path, open_page) -> None:
    model = digits_model(kind, scales=SCALES)
    subject = on_digits(model, tmp_path)
    tab = open_page(write_page(subject, tmp_path / "page.html"))
    codes = subject.posterior[0].double().numpy()
    mean = codes.mean(0) if kind == "ae" else np.zeros(6)
    tab.fill(".sliders_seed", "6")
    tab.press(".sliders_seed", "Enter")
    click(tab, "draw")
    assert tab.input_value(".sliders_seed") == "7"
    z = latents(tab)
    noise = normals(7, 6)
    if kind == "ae":  # the fitted Gaussian has the codes' mean and covariance
        factor = factor_of(subject.posterior[0]).double().numpy()
        assert factor @ factor.T == pytest.approx(np.cov(codes.T), abs=1e-4)
        assert "no prior" in tab.text_content(".sliders_hint")
        noise = factor @ noise
    assert z == pytest.approx(mean + noise, abs=2e-3 if kind == "ae" else 1e-6)
    tab.evaluate(
        "() => { const t = document.querySelector('.sliders_temperature'); t.value = 0.5;"
        " t.dispatchEvent(new Event('input')) }"
    )
    assert latents(tab) == pytest.approx(mean + noise / 2, abs=2e-3)
    tab.fill(".sliders_temperature", "0")
    assert latents(tab) == pytest.approx(mean, abs=1e-5)
    tab.fill(".sliders_temperature", "1")
    assert latents(tab) == pytest.approx(z, abs=1e-6), "the seed gives the same draw again"
    tab.fill(".sliders_seed", "-1")
    tab.press(".sliders_seed", "Enter")
    assert "whole number" in tab.text_content("#sliders [role=status]")
    assert tab.input_value(".sliders_seed") == "7"
    click(tab, "draw")
    before = latents(tab)
    click(tab, "draw")
    assert np.abs(latents(tab) - before).max() > 0.01
    click(tab, "undo")
    assert (latents(tab) == before).all(), "each press is a step of its own"
    click(tab, "image")
    assert latents(tab) == pytest.approx(codes[0], abs=5e-3 * np.abs(codes).max())


def test_a_class_changes_the_picture_and_keeps_the_latents(tmp_path, open_page) -> None:
    model = digits_model(num_classes=10, label_dropout=0.1)
    tab = open_page(write_page(on_digits(model, tmp_path), tmp_path / "page.html"))
    radios = tab.locator(".sliders_classes input")
    labels = tab.locator(".sliders_classes label").all_text_contents()
    assert labels == [*"0123456789", "no label"]
    click(tab, "draw")
    z = latents(tab)
    radios.nth(0).focus()
    for y in [1, 2, 3, 10]:
        tab.keyboard.press("ArrowRight") if y < 10 else tab.click("text=no label")
        assert tab.evaluate("app.y") == y
        assert (latents(tab) == z).all()
        label = -1 if y == 10 else y
        assert np.abs(grey(tab) - decoded(model, z, label)).max() <= 2
    click(tab, "undo")
    assert tab.evaluate("app.y") == 3
    assert radios.nth(3).is_checked()
    click(tab, "image")
    assert tab.evaluate("app.y") == tab.evaluate("app.content.sections.sliders.labels[0]")


def test_many_latents_are_shown_when_asked_and_fit_a_phone(tmp_path, open_page) -> None:
    model = digits_model("ae", latents=130)
    path = write_page(on_digits(model, tmp_path), tmp_path / "page.html")
    tab = open_page(path, viewport={"width": 360, "height": 700}, color_scheme="dark")
    assert len(names(tab)) == 16
    assert "each latent by itself" in tab.text_content(".sliders_hint")
    click(tab, "all")
    shown = len(names(tab))
    assert shown == tab.evaluate("app.content.sections.sliders.active") > 16
    assert not tab.is_visible("[data-do=all]")
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    left = tab.evaluate(
        "[...document.querySelectorAll('.sliders_row')].map(r => r.getBoundingClientRect().left)"
    )
    assert len(set(left)) == 1, "one column"
