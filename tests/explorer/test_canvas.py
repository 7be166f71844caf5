"""The canvas in a browser: a drawing becomes an image of the model, and the model's reconstruction."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sheets import KINDS, compare_with_the_model, png, subject
from test_shape import means

L = ((0.2, 0.3), (0.25, 0.8), (0.7, 0.85))


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawing_is_brought_to_shape_and_reconstructed(kind, open_sheet):
    sheet, model = open_sheet(kind)
    sheet.draw(*L)
    alpha, rows, columns = sheet.rgba("strokes"), *model.shape[1:]
    step = alpha.shape[0] / rows
    seen = sheet.image("seen", model)
    if kind == "colour":
        ink, below = np.array([0, 0, 0]), np.full((3, 1, 1), 127 / 255)
        paper = sheet.tab.input_value("[data-of=background]")
        below[:, 0, 0] = [int(paper[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        cover = means(alpha, 0, 0, step, rows, columns)[3]
        own = ink[:, None, None] * cover + (1 - cover) * below
        assert np.abs(seen - own * 255).max() <= 1
    else:  # bright ink, fitted: the longer side takes 20 of 28, the centre of mass is the data's
        cover = seen[0] / (model.levels - 1)
        middle = np.array(
            [(cover.sum(1 - i) * (np.arange(28) + 0.5)).sum() / cover.sum() for i in (0, 1)]
        )
        assert np.abs(middle - 14).max() < (0.05 if kind == "strokes" else 0.4)
        where = np.argwhere(cover > 0.5)
        assert abs((where.max(0) - where.min(0)).max() + 1 - 20) <= 1
        sheet.tab.uncheck("#canvas [data-of=fit]")
        sheet.settle()
        cover = means(alpha, 0, 0, step, rows, columns)[3]
        own = cover if kind == "strokes" else cover >= 0.5
        off = np.abs(sheet.image("seen", model)[0] / (model.levels - 1) - own)
        assert (off * 255).max() <= 1 if kind == "strokes" else (off > 0).mean() < 0.003
    compare_with_the_model(sheet, model, 0 if kind == "binary" else None)
    z = sheet.tab.evaluate("() => [...app.z]")
    with torch.inference_mode():
        x = torch.from_numpy(np.round(sheet.image("seen", model))).to(torch.uint8)[None]
        own = model.encode(x, *([torch.tensor([0])] if kind == "binary" else []))
    assert np.allclose(z, own[0].numpy(), rtol=1e-2, atol=1e-2)


def test_strokes_are_undone_and_done_again(open_sheet):
    sheet, _ = open_sheet("strokes")
    looks = [sheet.rgba("seen")]
    sheet.draw(*L)
    looks.append(sheet.rgba("seen"))
    sheet.draw((0.8, 0.2), (0.8, 0.6))
    looks.append(sheet.rgba("seen"))
    sheet.press("eraser")
    sheet.draw((0.7, 0.4), (0.9, 0.4))
    looks.append(sheet.rgba("seen"))
    sheet.press("clear")
    looks.append(sheet.rgba("seen"))
    sheet.choose(("x.png", "image/png", png(np.full((9, 9), 99, np.uint8))))
    looks.append(sheet.rgba("seen"))
    assert all((a != b).any() for a, b in pairwise(looks))
    assert (looks[4] == looks[0]).all()
    for k in (4, 3, 2):
        sheet.press("undo")
        assert np.abs(sheet.rgba("seen") - looks[k]).max() <= 1
    sheet.strokes.focus()
    for k in (1, 0):
        sheet.tab.keyboard.press("Control+z")
        sheet.settle()
        assert np.abs(sheet.rgba("seen") - looks[k]).max() <= 1
    assert sheet.tab.is_disabled("[data-do=undo]")
    assert sheet.numbers()["squared error"] == "–"
    for k in range(1, 6):
        sheet.tab.keyboard.press("Control+Shift+Z")
        sheet.settle()
        assert np.abs(sheet.rgba("seen") - looks[k]).max() <= 1


def touch(session, kind, *points):
    points = [{"x": x, "y": y} for x, y in points]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_fingers_draw_and_do_not_scroll(open_sheet):
    sheet, _ = open_sheet("strokes", has_touch=True, viewport={"width": 360, "height": 500})
    session = sheet.tab.context.new_cdp_session(sheet.tab)
    place, before = sheet.at(0.3, 0.3), sheet.tab.evaluate("scrollY")
    touch(session, "touchStart", place)
    for y in (0.5, 0.7, 0.8):
        touch(session, "touchMove", sheet.at(0.3, y))
    touch(session, "touchEnd")
    sheet.settle()
    ink = np.argwhere(sheet.rgba("strokes")[..., 3] > 128)
    assert 100 < (ink.max(0) - ink.min(0))[0] < 250
    assert sheet.tab.evaluate("scrollY") == before


def test_the_pressure_of_a_pen_makes_it_wide(open_sheet):
    sheet, _ = open_sheet("strokes")
    session, wide = sheet.tab.context.new_cdp_session(sheet.tab), []
    for force in (0.1, 0.9):
        for kind, x in (("mousePressed", 0.2), ("mouseMoved", 0.5), ("mouseReleased", 0.8)):
            place = dict(zip("xy", sheet.at(x, 0.5), strict=True))
            pen = {"pointerType": "pen", "button": "left", "buttons": 1, "clickCount": 1}
            session.send(
                "Input.dispatchMouseEvent", {"type": kind, "force": force, **pen, **place}
            )
        sheet.settle()
        alpha = sheet.rgba("strokes")[..., 3]
        wide.append((alpha[:, alpha.shape[1] // 2] > 128).sum())
        sheet.press("clear")
    assert wide[1] > 2 * wide[0] > 0


def test_keys_draw(open_sheet):
    sheet, model = open_sheet("strokes")
    press = sheet.tab.keyboard.press
    sheet.strokes.focus()
    press("ArrowLeft")
    press("Space")
    assert "Pen down" in sheet.status()
    for _ in range(3):
        press("Shift+ArrowDown")
    press("Space")
    press("ArrowRight")
    assert sheet.status() == "Pen up, column 15, row 27."
    sheet.settle()
    ink = np.argwhere(sheet.rgba("strokes")[..., 3] > 128)
    step = sheet.rgba("strokes").shape[0] / 28
    high, wide = (ink.max(0) - ink.min(0) + 1) / step
    pen = 28 * 0.1
    assert high == pytest.approx(12 + pen, abs=0.3)
    assert wide == pytest.approx(pen, abs=0.3)
    compare_with_the_model(sheet, model)


def test_colours_of_pen_and_paper(open_sheet):
    sheet, _ = open_sheet("colour")
    sheet.tab.fill("[data-of=background]", "#ffffff")
    sheet.tab.click("#canvas .palette [aria-label=red]")
    sheet.tab.fill("[data-of=width]", "20")
    sheet.draw((0.1, 0.5), (0.9, 0.5))
    seen = sheet.rgba("seen")
    assert (seen[0, 0, :3] == 255).all()
    assert (seen[6, 8, :3] == [200, 40, 45]).all() or (seen[5, 8, :3] == [200, 40, 45]).all()
    sheet.press("eraser")
    sheet.draw((0.1, 0.5), (0.9, 0.5))
    assert (sheet.rgba("seen")[..., :3] == 255).all()


def test_test_images_are_the_datas(open_sheet):
    for kind in KINDS:
        sheet, model = open_sheet(kind)
        images = subject(kind).images
        for k in range(2):
            sheet.press("test")
            assert (np.round(sheet.image("seen", model)) == images[k].numpy()).all()
            compare_with_the_model(sheet, model, k if kind == "binary" else None)
            if kind == "binary":
                assert sheet.tab.evaluate("app.y") == k


def test_the_best_class_is_the_one_of_least_loss(open_sheet):
    sheet, _ = open_sheet("binary")
    sheet.press("best")
    assert "first" in sheet.status()
    sheet.press("test")
    total = {}
    for y in range(3):
        sheet.tab.evaluate("y => { app.set({y}, 'test') }", y)
        sheet.tab.click("#canvas [data-of=fit]")  # has it encoded once more
        sheet.settle()
        total[y] = float(sheet.numbers()["negative ELBO"].split()[0])
    sheet.press("best")
    sheet.tab.wait_for_function(
        "() => document.querySelector('#canvas [role=status]').textContent.includes('best')"
    )
    sheet.settle()
    assert sheet.tab.evaluate("app.y") == min(total, key=total.get)
    assert sheet.numbers()["class"] == str(min(total, key=total.get))


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_nothing_moves_and_nothing_is_cut_off(open_sheet, width, scheme):
    viewport = {"width": width, "height": 800}
    sheet, _ = open_sheet("strokes", viewport=viewport, color_scheme=scheme)
    places = """() => [...document.querySelectorAll('#canvas *')].map(e => e.getBoundingClientRect())
      .map(b => [b.left, b.top + scrollY, b.width, b.height])"""
    shown = (
        "() => [...document.querySelectorAll('#canvas .numbers, #canvas .pair, #canvas .sheet')]"
    )
    boxes = (
        shown + ".map(e => e.getBoundingClientRect()).map(b => [b.left, b.top + scrollY, b.width])"
    )
    before = sheet.tab.evaluate(boxes)
    sheet.draw(*L)
    sheet.press("test")
    sheet.tab.check("[data-of=difference]")
    assert sheet.tab.evaluate(boxes) == before
    assert max(left + wide for left, _, wide, _ in sheet.tab.evaluate(places)) <= width
    assert sheet.tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_difference_is_shown(open_sheet):
    sheet, model = open_sheet("strokes")
    sheet.draw(*L)
    x, own = sheet.image("seen", model), sheet.image("again", model)
    sheet.tab.check("[data-of=difference]")
    assert np.abs(sheet.image("again", model) - np.abs(x - own)).max() <= 1


def test_ink_follows_the_theme(open_sheet):
    sheet, _ = open_sheet("strokes", color_scheme="light")
    sheet.draw(*L)
    light, seen = sheet.rgba("strokes"), sheet.rgba("seen")
    sheet.tab.emulate_media(color_scheme="dark")
    sheet.tab.evaluate("app.tell('theme')")
    dark = sheet.rgba("strokes")
    inside = light[..., 3] == 255
    assert (light[inside][:, 0] < 60).all()
    assert (dark[inside][:, 0] > 200).all()
    sheet.press("undo")
    sheet.press("redo")
    assert np.abs(sheet.rgba("seen") - seen).max() <= 1
