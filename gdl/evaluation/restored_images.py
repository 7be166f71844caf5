"""How well a model restores images that have lost something, beside the trivial methods."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

import torch

from gdl.capabilities import Incapable
from gdl.corruptions import Corruption
from gdl.data.base import ImageData
from gdl.errors import GdlError
from gdl.evaluation.held_out import held_out
from gdl.evaluation.host import Host
from gdl.evaluation.units import at_least_one
from gdl.evaluation.unknown_pixels import bits_of_unknown
from gdl.families.base import GenerativeModel
from gdl.pictures import Picture
from gdl.plots import save_result
from gdl.restoration.asked import corruption_of
from gdl.restoration.baselines import baselines
from gdl.restoration.choice import restorer_for
from gdl.restoration.families import families_picture
from gdl.restoration.restorer import Restorer
from gdl.restoration.scoring import label_of, on_seen, score
from gdl.restored_numbers import BITS

__all__ = ["restoration"]


@torch.inference_mode()
def restoration(
    model: GenerativeModel,
    data: ImageData,
    host: Host,
    corruption: Mapping[str, Corruption] | None = None,
    draws: int = 8,
    pictures: int = 8,
    bits_samples: int = 0,
    runs: Sequence[str] = (),
    batch_size: int = 500,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, float]:
    """Return PSNR and SSIM of restored test images, of the model and of every trivial method.

    Keys are restoration-{corruption}/{method}/{number}, see `gdl.restored_numbers.NUMBERS`, with
    standard errors over the images as {number}_se; and model/gain, by how many dB the model is better
    than the best trivial method on the same images. Test image i loses the same in all runs. Where the
    model draws, "model" is the mean of its draws, "draw" the first one, "best_of_K" the best of each
    image, and model/diversity the mean standard deviation of a pixel over the draws of an image.

    Of a density there are also model/bits-{kind}, the bits per unknown value given what is known, see
    `gdl.restoration.bits.unknown_bits`.

    Some images are written as restoration-{corruption}.png: what they were, what is left, and what each
    method makes of it; with other runs also as restoration-{corruption}-runs.png: what each run makes
    of them.

    Args:
        model: In eval mode.
        data: What it was trained on.
        host: Says where the picture goes.
        corruption: What the images lose, one after the other; None for what the run was trained on.
        draws: Draws of each image, where the model draws.
        pictures: Images in the picture.
        bits_samples: Samples of each image for bits that are an estimate; 0 for exact ones only.
        runs: Other runs on the same data for a picture of all, by directory or checkpoint.
        batch_size: Images at a time.
        seed: Seeds the draws.
        limit: Only the first so many test images.

    Raises:
        Incapable: The data are no images, or the model cannot restore them.
        GdlError: There is no corruption, the model is of another one, or a number is none.
    """
    if model.levels is None:
        raise Incapable(
            "measure=restoration asks for images, and this run is on vectors: use a run of "
            "model=denoising_ae on data=mnist."
        )
    for name, value in (("draws", draws), ("pictures", pictures), ("batch_size", batch_size)):
        at_least_one(name, value)
    lost = corruption_of(model, corruption, "measure=restoration")
    images, levels = held_out(data, limit), model.levels
    mine = _restorer(model, lost)
    others = [_other(host, name, model, lost) for name in runs]
    file = host.file(f"restoration-{label_of(lost)}.png")
    of_runs = host.file(f"restoration-{label_of(lost)}-runs.png") if others else None
    scaled = lambda x: x.to(model.device).float() / (levels - 1)  # noqa: E731
    trivial = baselines(lost, scaled(data.images("train")), scaled(data.images("val")))
    methods: dict[str, Restorer] = {"model": mine, **trivial}
    place = (model.device, batch_size, draws, seed, pictures, _shown(len(images)))
    scores = score(methods, images, levels, lost, *place)
    if "draw" in scores.of and (note := getattr(mine, "note", None)) is not None:
        print(f"note: {note}")
    rows = [*scores.kept]
    shown = torch.stack([scores.kept[row] for row in rows])
    about = f"restoration of {label_of(lost)}"
    save_result(Picture(shown, about, rows), file.parent, file.stem, 2)
    if of_runs is not None:
        x = scaled(images[:pictures])
        restorers = _by_name([(model, mine), *others])
        picture = families_picture(
            restorers, x, on_seen(lost, x), min(draws, 4), seed, title=about
        )
        save_result(picture, of_runs.parent, of_runs.stem, 2)
    told = bits_of_unknown(model, images, lost, bits_samples, batch_size, seed)
    if told is not None:
        scores.add("model", {f"{BITS}{told[0]}": told[1]})
    return scores.metrics()


def _by_name(found: Sequence[tuple[GenerativeModel, Restorer]]) -> dict[str, Restorer]:
    """Return restorers by the names of their models, numbered where two are alike."""
    named: dict[str, Restorer] = {}
    for model, restorer in found:
        name = str(model.config.get("choices", {}).get("model") or type(model).__name__)
        same = sum(n.partition(" ")[0] == name for n in named)
        named[f"{name} {same + 1}" if same else name] = restorer
    return named


def _other(
    host: Host, name: str, model: GenerativeModel, corruption: Corruption
) -> tuple[GenerativeModel, Restorer]:
    """Return another run's model and restorer.

    Raises:
        GdlError: Its images have another shape, or other levels.
        Incapable: It cannot restore these images.
    """
    with torch.inference_mode(
        False
    ):  # a flow takes gradients, which tensors made in that mode lack
        other = host.open_run(name)
    if (other.shape, other.levels) != (model.shape, model.levels):
        raise GdlError(
            f"The run {name} of measure.runs is on {other.shape} images of {other.levels} levels, and "
            f"this one on {model.shape} of {model.levels}: name runs on the same data."
        )
    return other, _restorer(other, corruption)


def _restorer(model: GenerativeModel, corruption: Corruption) -> Restorer:
    """Return the model's restorer.

    Raises:
        Incapable: The model cannot restore these images.
    """
    try:
        return restorer_for(model, corruption)
    except Incapable as e:
        raise Incapable(f"measure=restoration asks for restored images. {e}") from e


def _shown(total: int) -> Callable[[int], None]:
    """Return a function that tells how many images are done, on a terminal only."""

    def progress(done: int) -> None:
        if sys.stderr.isatty():
            end = "\r" if done < total else "\r\033[K"
            print(f"restored {done:,} of {total:,} images", end=end, file=sys.stderr, flush=True)

    return progress
