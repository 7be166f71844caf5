"""Completion of images of which some pixels are known."""

import torch
from torch import Tensor

import gdl.models as models
from gdl.capabilities import SamplesGiven, ScoresGiven, refuse
from gdl.corruptions import known_pixels
from gdl.families.base import GenerativeModel
from gdl.pictures import Picture
from gdl.tasks.labels import ALL, class_labels, labels_of
from gdl.tasks.latents import check_temperature

__all__ = ["complete"]


@torch.inference_mode()
def complete(
    model: GenerativeModel,
    x: Tensor,
    known: str = "top",
    images: int = 8,
    completions: int = 6,
    seed: int = 0,
    temperature: float = 1.0,
    label: int | str | None = None,
) -> dict[str, Picture]:
    """Show, in each row, what is known of a test image, completions of it, and the image itself.

    What is not known is drawn in grey. Completion k of the whole picture depends on (seed, k) only.

    Args:
        model: A model that draws the unknown pixels given the known ones.
        x: Test images.
        known: Which pixels are known; see `known_pixels`.
        images: How many test images.
        completions: How many completions of each.
        seed: Seed of the whole set.
        temperature: See the model's `sample`.
        label: Of a conditional model, the class of the completions, or "all" for one of each class;
            None draws the classes, given the known pixels.

    Raises:
        Incapable: The model cannot.
        GdlError: There is no such choice of known pixels, or no such class.
    """
    if not isinstance(model, SamplesGiven):
        asked = "task=complete asks for draws of some pixels given others"
        refuse(model, SamplesGiven, asked, models)
    assert model.levels is not None
    mask = known_pixels(known, model.shape).to(model.device)
    if isinstance(model, ScoresGiven) and not model.known_come_first(mask):
        print(
            "Some known pixels come after unknown ones in the model's order: they are kept, but the "
            "unknown pixels before them are drawn without looking at them."
        )
    x = x[:images].to(model.device)
    if label == ALL and model.num_classes:
        completions = model.num_classes
    labels = labels_of(model, label, lambda k: torch.arange(k).repeat(len(x)))
    given = x.repeat_interleave(completions, 0)
    check_temperature(temperature)
    options = {"seed": seed, "temperature": temperature, **labels}
    drawn = model.sample_given(len(given), given, mask, **options)
    shown = torch.where(mask, x.float(), (model.levels - 1) / 2)
    rows = [shown[:, None], drawn.unflatten(0, (len(x), -1)).float(), x[:, None].float()]
    names = [f"completion {k + 1}" for k in range(completions)]
    title = f"completions of test images, known: {known}, seed {seed}"
    if label == ALL and model.num_classes:
        names = class_labels(model)
    elif label is not None:
        title += f", class {label}"
    columns = ["known", *names, "original"]
    return {"completions": Picture(torch.cat(rows, 1), title, columns=columns)}
