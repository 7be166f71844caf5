"""Files on the canvas: good ones are brought to shape, of others one sentence says what is wrong."""

import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image
from sheets import compare_with_the_model, png
from test_shape import means


def scene(height, width, channels=3):
    """Return a smooth picture, bytes (H, W, C): dark at the border and different at every side."""
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    inside = 16 * x * (1 - x) * y * (1 - y)
    colours = [0.3 + 0.7 * x, 0.2 + 0.8 * y, 1 - 0.6 * x * y, 0.5 + 0.5 * y]
    return np.stack([np.round(250 * inside * c) for c in colours[:channels]], -1).astype(np.uint8)


def saved(pixels, kind, **options):
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, kind, **options)
    return file.getvalue()


def turned(pixels):
    """Return a JPEG file that says that it must be turned by 90 degrees to be seen as `pixels`."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the first line of the file is the right side of the picture
    return saved(np.rot90(pixels), "jpeg", quality=97, exif=exif)


def deep(pixels):
    """Return a PNG file of 16 bits a pixel."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(file, "png")
    return file.getvalue()


GOOD = {
    # pixels, bytes of the file, difference in levels of 255 that its format makes
    "grey png": (p := scene(70, 90, 1), png(p[..., 0]), 1),
    "rgb png": (p := scene(64, 41), png(p), 1),
    "rgba png": (p := scene(60, 60, 4), png(p), 2),
    "16 bit png": (p := scene(70, 90, 1), deep(p), 2),
    "smaller than the data": (p := scene(5, 9), png(p), 1),
    "one pixel": (p := scene(1, 1), png(p), 1),
    "one line": (p := scene(1, 300), png(p), 1),
    "jpeg": (p := scene(120, 90), saved(p, "jpeg", quality=97), 5),
    "turned jpeg": (p := scene(120, 90), turned(p), 5),
    "webp": (p := scene(80, 90), saved(p, "webp", lossless=True), 1),
    "gif": (p := scene(80, 90, 1), saved(p, "gif"), 1),
    "bmp": (p := scene(40, 30), saved(p, "bmp"), 1),
    "larger than what is averaged": (p := scene(2100, 2200), saved(p, "jpeg", quality=95), 5),
}

IN_COLOUR = ("grey png", "rgba png", "turned jpeg")


def expected(pixels, paper, channels, rows, columns):
    """Return (C, rows, columns) in [0, 255]: the middle, averaged, over the paper, as the data are."""
    pixels = np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels
    if pixels.shape[-1] == 3:
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], -1)
    step = min(pixels.shape[0] / rows, pixels.shape[1] / columns)
    y, x = (pixels.shape[0] - step * rows) / 2, (pixels.shape[1] - step * columns) / 2
    *colour, alpha = means(pixels, x, y, step, rows, columns)
    if channels == 1:
        colour = [0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]]
    return np.stack([255 * (c + (1 - alpha) * b) for c, b in zip(colour, paper, strict=True)])


@pytest.mark.parametrize("kind", ["strokes", pytest.param("colour", marks=pytest.mark.slow)])
def test_files_are_brought_to_shape(kind, open_sheet):
    sheet, model = open_sheet(kind)
    paper = sheet.tab.evaluate("app.content.sections.canvas.paper")
    for name, (pixels, file, off) in GOOD.items():
        if kind == "colour" and name not in IN_COLOUR:
            continue
        sheet.choose((f"{name}.png", "image/png", file))
        assert f"{name}.png is shown" in sheet.status()
        if sheet.tab.is_checked("[data-of=invert]"):  # bright borders; one by one below
            sheet.tab.uncheck("[data-of=invert]")
            sheet.settle()
        own = expected(pixels, paper, *model.shape)
        assert np.abs(sheet.image("seen", model) - own).max() <= off, name
    compare_with_the_model(sheet, model)


def test_dark_ink_on_bright_paper_is_inverted(open_sheet):
    sheet, model = open_sheet("strokes")
    digit = 255 - scene(60, 60, 1)[..., 0]
    sheet.choose(("digit.png", "image/png", png(digit)))
    assert sheet.tab.is_checked("[data-of=invert]")
    assert "inverted" in sheet.status()
    inverted = sheet.image("seen", model)
    assert inverted[0, 14, 14] > inverted[0, 0, 0]
    sheet.tab.uncheck("[data-of=invert]")
    sheet.settle()
    assert np.abs(sheet.image("seen", model) - (255 - inverted)).max() <= 1
    sheet.choose(("digit.png", "image/png", png(255 - digit)))
    assert not sheet.tab.is_checked("[data-of=invert]")


def stated(width, height):
    """Return a PNG file that says that it is large, and holds next to nothing."""
    chunk = lambda kind, data: (  # noqa: E731
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    )
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    body = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


SCRIPT = b'<svg xmlns="http://www.w3.org/2000/svg"><script>document.title = "ran"</script></svg>'
BROKEN = {
    # name: bytes, and what the sentence says
    "text.png": (b"I am no picture, but a text of some length.", "no picture"),
    "empty.png": (b"", "is empty"),
    "short.png": (b"\x89PNG", "no picture"),
    "head.jpg": (bytes([0xFF, 0xD8, 0xFF, 0xE0]) + bytes(60), "no picture"),
    "turns.jpg": (bytes([0xFF] * 400), "no picture"),
    "cut.png": (png(scene(60, 60))[:300], "no picture"),
    "huge.png": (stated(30_000, 30_000), "900 million pixels"),
    "script.svg": (SCRIPT, "no picture"),
    "page.html": (b"<script>document.title = 'ran'</script>", "no picture"),
    "<img src=x onerror='document.title=`ran`'>.png": (b"<b>", "no picture"),
    "../" + 60 * "long name ": (b"x", "no picture"),
}


def test_of_a_broken_file_one_sentence_says_so(open_sheet):
    sheet, model = open_sheet("strokes")
    sheet.draw((0.3, 0.3), (0.6, 0.7))
    before, title = sheet.rgba("seen"), sheet.tab.title()
    for name, (file, said) in BROKEN.items():
        sheet.tab.evaluate("document.querySelector('#canvas [role=status]').textContent = ''")
        sheet.choose((name, "image/svg+xml" if name.endswith("svg") else "image/png", file))
        text = sheet.status()
        assert said in text, name
        assert text.endswith("."), text
        assert text.count(". ") == 0, text
        assert len(text) < 200, text
        assert text.startswith(name[:40]), text
        assert np.abs(sheet.rgba("seen") - before).max() <= 1, name
    assert sheet.tab.title() == title
    assert sheet.tab.locator("#canvas img, #canvas svg, #canvas script").count() == 0
    sheet.choose(("good.png", "image/png", png(scene(40, 40))))
    assert "good.png is shown" in sheet.status()
    compare_with_the_model(sheet, model)


DROP = """([files, where]) => {
  const data = new DataTransfer();
  for (const [name, text] of files) {
    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    data.items.add(new File([bytes], name, {type: "image/png"}));
  }
  const events = ["dragenter", "dragover", "drop"].map(kind => new DragEvent(kind,
    {dataTransfer: data, bubbles: true, cancelable: true}));
  return events.map(event => !document.querySelector(where).dispatchEvent(event));
}"""


def test_files_are_dropped(open_sheet):
    sheet, model = open_sheet("strokes")
    good = [["a.png", base64.b64encode(png(scene(50, 50))).decode()]]
    broken = [["b.png", base64.b64encode(b"nothing").decode()]]
    for files, where, said in (
        (good, "#canvas .sheet", "a.png is shown"),
        (broken, "#canvas", "b.png is no picture"),
        (good + broken, "header", "The first of 2 files was taken."),
        ([], "#canvas", "There is no file in that"),
    ):
        sheet.tab.evaluate("document.querySelector('#canvas [role=status]').textContent = ''")
        # a drop that is not taken would open the file in place of the page
        taken = sheet.tab.evaluate(DROP, [files, where])
        assert taken[1:] == [True, True]
        sheet.told()
        assert said in sheet.status()
    compare_with_the_model(sheet, model)


def test_dropped_text_and_links_leave_the_page_where_it_is(open_sheet):
    sheet, _ = open_sheet("strokes")
    drop = """([kind, text, where]) => {
      const data = new DataTransfer();
      data.setData(kind, text);
      return ["dragover", "drop"].map(name => !document.querySelector(where).dispatchEvent(
        new DragEvent(name, {dataTransfer: data, bubbles: true, cancelable: true})));
    }"""
    for kind in ("text/uri-list", "text/plain", "text/html"):
        for where in ("#canvas", "header", "#latent_map .map_canvas"):
            sheet.tab.evaluate("document.querySelector('#canvas [role=status]').textContent = ''")
            link = [kind, "https://example.org/a.png", where]
            assert sheet.tab.evaluate(drop, link) == [True, True]
            sheet.told()
            assert "There is no file in that" in sheet.status()
    # text goes into a field, as everywhere
    assert sheet.tab.evaluate(drop, ["text/plain", "12", ".sliders_seed"]) == [False, False]


def test_the_file_that_was_opened_last_is_shown(open_sheet):
    sheet, _ = open_sheet("strokes")
    sheet.tab.evaluate("""() => {
      const own = window.createImageBitmap, wait = {"slow.png": 300, "broken.png": 200};
      window.createImageBitmap = async (file, ...rest) => {
        await new Promise(done => setTimeout(done, wait[file.name] ?? 0));
        return own.call(window, file, ...rest);
      };
    }""")
    for name in ("slow.png", "broken.png", "quick.png"):
        text = base64.b64encode(b"?" if "broken" in name else png(scene(30, 3000))).decode()
        sheet.tab.evaluate(DROP, [[[name, text]], "#canvas"])
    sheet.tab.wait_for_timeout(600)
    assert "quick.png is shown, 3000 by 30 pixels" in sheet.status()


def test_a_folder_is_refused(open_sheet):
    sheet, _ = open_sheet("strokes")
    sheet.tab.evaluate("""() => {
      const event = new Event("drop", {bubbles: true, cancelable: true});
      const item = {kind: "file", webkitGetAsEntry: () => ({isDirectory: true})};
      event.dataTransfer = {types: ["Files"], files: [new File([], "folder")], items: [item]};
      document.querySelector("#canvas").dispatchEvent(event);
    }""")
    sheet.told()
    assert sheet.status() == "That is a folder: choose one picture file."
