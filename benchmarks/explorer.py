"""The page of gdl explore in headless Chromium: how exact it is, how fast and how large.

    python benchmarks/explorer.py run=RUN [run=RUN ...] [decodes=200] [pages=FOLDER] [record=FILE]

Each page is opened from file://. It decodes 100 codes, one half drawn from N(0, I), the other of test
images, and encodes 100 test images; PyTorch does the same with the model's own weights. Pixels are
whole numbers of 0 to 255, read from the canvas. The error of a code is the distance from PyTorch's
mean (and log-std of a VAE) divided by its norm. Decodes are of one code: milliseconds, their median
with quartiles, alone and with the events and the canvas that follow. First paint and "ready", the
first picture, count from the start of the navigation.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Browser, Page, sync_playwright
from records import Table, options
from timing import Spread
from torch import Tensor

from gdl.capabilities import HasPosterior
from gdl.errors import GdlError
from gdl.explorer import Subject, write_page
from gdl.runs.checkpoints import open_run

COUNT = 100
USAGE = "run=RUN [run=RUN ...] [decodes=200] [pages=FOLDER] [record=FILE]"
NOTE = (
    "Pixels: distance from PyTorch's, of 255, on 100 latents. Encoder: relative error of the codes of "
    "100 images. Decodes: median of {} with quartiles. The bound of a file is 0.6 MB and 2.7 bytes a "
    "parameter. The cores that others used include the browser's own."
)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
COLUMNS = (
    "run", "model", "parameters", "MB", "bound", "pixels, largest", "mean", "encoder, worst", "median",
    "decode ms", "with canvas ms", "first paint s", "ready s",
)  # fmt: skip

WHEN_READY = """new MutationObserver(() => { window.readyAt ??= performance.now(); })
  .observe(document, {attributes: true, subtree: true, attributeFilter: ["data-ready"]});"""

PIXELS = """async ([codes, labels]) => {
  const canvas = document.getElementById("decoded"), found = [];
  for (const [i, z] of codes.entries()) {
    await app.set({z, y: labels ? labels[i] : null});
    found.push([...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]);
  }
  return found;
}"""

CODES = """async ([images, shape, labels]) => {
  const x = {shape: [images.length, ...shape], data: Float32Array.from(images.flat())};
  const y = labels ? {y: {shape: [labels.length], data: Float32Array.from(labels)}} : {};
  const found = await app.model.run("encode", {x, ...y});
  return Object.fromEntries(Object.entries(found).map(([name, value]) => [name, [...value.data]]));
}"""

TIMES = """async ([codes, decodes]) => {
  const alone = [], shown = [], shape = [1, ...app.content.latent_shape];
  for (let i = 0; i < decodes + 20; i++) {
    const z = Float32Array.from(codes[i % codes.length]);
    let start = performance.now();
    await app.model.run("decode", {z: {shape, data: z}, ...app.labels(1)});
    if (i >= 20) alone.push(performance.now() - start);
    start = performance.now();
    await app.set({z});
    if (i >= 20) shown.push(performance.now() - start);
  }
  return [alone, shown];
}"""


def opened(browser: Browser, page: Path) -> Page:
    """Return a page that has decoded its first picture."""
    tab = browser.new_page()
    tab.add_init_script(WHEN_READY)
    tab.goto(f"file://{page.resolve()}")
    tab.wait_for_selector("html[data-ready]", timeout=120_000)
    return tab


@torch.inference_mode()
def pixel_errors(tab: Page, model: Any, codes: Tensor, labels: Tensor | None) -> Tensor:
    """Return the distances of the canvas from PyTorch's pixels, in 255ths, of codes (N, M)."""
    own = model.decode(codes.view(-1, *model.latent_shape), *(() if labels is None else (labels,)))
    own = (own.float() * (255 / (model.levels - 1))).round()
    _, channels, height, width = own.shape
    found = tab.evaluate(PIXELS, [codes.tolist(), None if labels is None else labels.tolist()])
    seen = torch.tensor(found).view(-1, height, width, 4).movedim(-1, 1)
    return (seen[:, :channels] - own).abs() if channels == 3 else (seen[:, :1] - own[:, :1]).abs()


@torch.inference_mode()
def code_errors(tab: Page, model: Any, images: Tensor, labels: Tensor | None) -> Tensor:
    """Return the relative distances (N,) of codes from PyTorch's, of images (N, C, H, W)."""
    y = () if labels is None else (labels,)
    codes = (
        model.posterior(images, *y)
        if isinstance(model, HasPosterior)
        else (model.encode(images, *y),)
    )
    flat = [images.flatten(1).tolist(), [*images.shape[1:]]]
    found = tab.evaluate(CODES, [*flat, None if labels is None else labels.tolist()])
    names = ["mean", "log_std"][: len(codes)]
    seen = torch.cat([torch.tensor(found[name]).view(len(images), -1) for name in names], 1)
    own = torch.cat([code.float().flatten(1) for code in codes], 1)
    return (seen - own).norm(dim=1) / own.norm(dim=1)


def chosen_options() -> tuple[list[str], int, Path | None]:
    """Return the runs, the number of decodes and the folder of pages that the arguments name.

    Raises:
        SystemExit: There is no run, or an argument has no meaning.
    """
    keys = ("run", "decodes", "pages", "record")
    for argument in sys.argv[1:]:
        key, is_pair, value = argument.partition("=")
        if key not in keys or not is_pair or not value:
            raise SystemExit(f"error: {argument} has no meaning here: the arguments are {USAGE}.")
    chosen, runs = options(), [a[4:] for a in sys.argv[1:] if a.startswith("run=")]
    if not runs:
        raise SystemExit(
            "error: name runs to open, e.g. run=outputs/mnist/vae/2026-01-01_12-00-00."
        )
    decodes, pages = chosen.get("decodes", "200"), chosen.get("pages")
    if not decodes.isascii() or not decodes.isdigit() or not int(decodes):
        raise SystemExit(f"error: decodes={decodes} must be a whole number from 1 on.")
    if pages is not None and Path(pages).exists() and not Path(pages).is_dir():
        raise SystemExit(f"error: pages={pages} is a file: name a folder.")
    return runs, int(decodes), None if pages is None else Path(pages)


def row(browser: Browser, spec: str, folder: Path, decodes: int) -> list[object]:
    """Return the cells of a run, whose page is written into a folder."""
    run, model, data = open_run(spec, "cpu")
    if len(model.shape) != 3:
        raise GdlError(
            f"{run.path.name} is of vectors, which have no pixels: name runs of images."
        )
    subject = Subject(run, model, data)
    page = write_page(subject, folder / f"{run.path.name}.html")
    tab = opened(browser, page)
    paint = tab.evaluate("performance.getEntriesByType('paint')[0]?.startTime ?? NaN") / 1e3
    ready = tab.evaluate("window.readyAt") / 1e3
    images, half = subject.images[:COUNT], COUNT // 2
    noise = torch.randn(
        half, subject.posterior[0].shape[1], generator=torch.Generator().manual_seed(0)
    )
    codes = torch.cat([noise, subject.posterior[0][:half]])
    labels = torch.arange(COUNT) % model.num_classes if model.num_classes else None
    pixels = pixel_errors(tab, model, codes, labels)
    errors = code_errors(tab, model, images, None if labels is None else labels[: len(images)])
    alone, shown = map(Spread.of, tab.evaluate(TIMES, [codes.tolist(), decodes]))
    tab.close()
    params = sum(p.numel() for p in model.parameters())
    return [
        run.path.name, type(model).__name__, f"{params:,}",
        page.stat().st_size / 1e6, 0.6 + 2.7e-6 * params,
        f"{pixels.max():.0f}", f"{pixels.mean():.4f}", f"{errors.max():.1e}", f"{errors.median():.1e}",
        alone, shown, paint, ready,
    ]  # fmt: skip


def main() -> None:
    """Print the table and, with record=FILE, keep it.

    Raises:
        SystemExit: No run is named, or one cannot be opened.
    """
    runs, decodes, pages = chosen_options()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pages or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=FLAGS
            )
            title = (
                f"The explorer in headless Chromium {browser.version}: exactness, speed and size"
            )
            table = Table(title, *COLUMNS)
            for spec in runs:
                try:
                    table.add(*row(browser, spec, folder, decodes))
                except GdlError as e:
                    raise SystemExit(f"error: {e}") from e
            browser.close()
        table.save(note=NOTE.format(decodes))


if __name__ == "__main__":
    main()
