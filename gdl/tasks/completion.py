"""Completion of images of which some pixels are known, and of texts."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from gdl.capabilities import Incapable, SamplesGiven, ScoresGiven
from gdl.corruptions import Seen, known_pixels
from gdl.errors import GdlError
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.pictures import Picture
from gdl.restoration.autoregressive import ByConditionals
from gdl.restoration.choice import density_restorer
from gdl.restoration.flow import ByHamiltonian
from gdl.restoration.latent import ByGibbs
from gdl.tasks.drawn_pairs import draw_targets, translates
from gdl.tasks.drawn_texts import (
    draw_texts,
    refuse_image_options,
    refuse_text_options,
    writes_text,
)
from gdl.tasks.labels import ALL, class_labels, labels_of
from gdl.tasks.latents import check_temperature, truncation
from gdl.texts import Texts

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
    prompt: str | None = None,
    length: int | None = None,
    stop: str | None = None,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> dict[str, Picture | Texts]:
    """Show, in each row, what is known of a test image, completions of it, and the image itself.

    Of a model of text they are completions of a prompt, see `draw_texts`; of pairs of texts the prompt
    is the source, and a completion the target.

    What is not known is drawn in grey. Where the known pixels come first in the order of an
    autoregressive model, the completions are exact draws, and completion k of the whole picture
    depends on (seed, k) only. Otherwise they are draws by particles or of a Markov chain, and a
    sentence says how exact they are; see `gdl.restoration.choice.restorer_for`.

    Args:
        model: A density of images.
        x: Test images.
        known: Which pixels are known; see `known_pixels`.
        images: How many test images.
        completions: How many completions of each.
        seed: Seed of the whole set.
        temperature: See the model's `sample`; of an autoregressive model only, which with another one
            than 1, or with a label, does not look at known pixels that come later.
        label: Of a conditional autoregressive model, the class of the completions, or "all" for one of
            each class; None draws the classes, given the known pixels.
        prompt: Of a model of text, the beginning.
        length: Of a model of text, the symbols after the prompt; by default up to the window's end.
        stop: Of a model of text, what ends a completion in front of it.
        top_k: Draw from the k most likely values only; None for all. Like the temperature it is of
            autoregressive models, and does not look at known pixels that come later.
        top_p: Draw from the fewest values that have this probability together, likewise.

    Raises:
        Incapable: The model cannot.
        GdlError: There is no such choice of known pixels, no such class, or the prompt cannot be used.
    """
    if writes_text(model):
        check_temperature(temperature)
        at_least_one("task.completions", completions)
        refuse_image_options(model, label=label, known=None if known == "top" else known)
        if not prompt:
            raise GdlError(
                "task=complete of a text continues task.prompt, which is empty: give one, as "
                f"task.prompt='{'3 March 1987' if translates(model) else 'def main('}', or choose "
                "task=sample."
            )
        how = {"length": length, "stop": stop, "seed": seed, "temperature": temperature}
        how |= {"top_k": top_k, "top_p": top_p}
        if translates(model):
            return {"completions": draw_targets(model, completions, prompt, **how)}
        texts = draw_texts(model, "completion", completions, prompt, **how)
        return {"completions": texts}
    refuse_text_options(model, prompt=prompt, length=length, stop=stop)
    restorer = model if isinstance(model, SamplesGiven) else density_restorer(model)
    assert model.levels is not None
    mask = known_pixels(known, model.shape).to(model.device)
    x = x[:images].to(model.device)
    if label == ALL and model.num_classes:
        completions = model.num_classes
    labels = labels_of(model, label, lambda k: torch.arange(k).repeat(len(x)))
    check_temperature(temperature)
    kept = truncation(model, top_k, top_p)
    options = {"seed": seed, "temperature": temperature, **kept, **labels}
    if isinstance(restorer, ScoresGiven) and not (
        restorer.known_come_first(mask) or temperature != 1 or label is not None or kept
    ):
        with suppress(Incapable):  # a model of the user's own draws in its order
            restorer = density_restorer(model)
    if isinstance(restorer, SamplesGiven):
        drawn = _in_order(restorer, x, mask, completions, options)
    else:
        drawn = _order_free(restorer, x, mask, completions, options)
    shown = torch.where(mask, x.float(), (model.levels - 1) / 2)
    rows = [shown[:, None], drawn.float(), x[:, None].float()]
    names = [f"completion {k + 1}" for k in range(completions)]
    title = f"completions of test images, known: {known}, seed {seed}"
    if label == ALL and model.num_classes:
        names = class_labels(model)
    elif label is not None:
        title += f", class {label}"
    columns = ["known", *names, "original"]
    return {"completions": Picture(torch.cat(rows, 1), title, columns=columns)}


def _in_order(
    model: SamplesGiven, x: Tensor, mask: Tensor, completions: int, options: dict[str, Any]
) -> Tensor:
    """Return completions (B, completions, C, H, W) uint8, drawn in the order of the model."""
    if isinstance(model, ScoresGiven) and not model.known_come_first(mask):
        print(
            "Some known pixels come after unknown ones in the model's order: they are kept, but the "
            "unknown pixels before them are drawn without looking at them."
        )
    given = x.repeat_interleave(completions, 0)
    return model.sample_given(len(given), given, mask, **options).unflatten(0, (len(x), -1))


def _order_free(
    restorer: ByConditionals | ByGibbs | ByHamiltonian,
    x: Tensor,
    mask: Tensor,
    completions: int,
    options: dict[str, Any],
) -> Tensor:
    """Return completions (B, completions, C, H, W) in [0, levels - 1], drawn given all known pixels.

    Raises:
        Incapable: A temperature or a label was asked for.
    """
    model, known = restorer.model, mask.expand_as(x)
    if options["temperature"] != 1 or any(
        v is not None for k, v in options.items() if k == "label"
    ):
        raise Incapable(
            f"task=complete of a {type(model).__name__} has no task.temperature and no task.label: "
            "leave them out, or use a run of an autoregressive model, e.g. model=made."
        )
    assert model.levels is not None
    top = model.levels - 1
    channels, height, width = model.shape
    seen = Seen(
        (channels, height, width), x.float() / top, known, names=("task.known",), hole=~known
    )
    drawn = restorer(seen, draws=completions, seed=options["seed"])
    print(restorer.note)
    return (drawn * top).round().transpose(0, 1)
