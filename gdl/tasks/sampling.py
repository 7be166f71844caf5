"""Draws from the model."""

import torch
from torch import Tensor

from gdl.capabilities import Samples
from gdl.errors import GdlError
from gdl.families.base import GenerativeModel
from gdl.noise import SampleNoise
from gdl.pictures import Picture
from gdl.tasks.drawn_pairs import translates, with_targets
from gdl.tasks.drawn_texts import (
    draw_texts,
    draw_windows,
    goes_on,
    refuse_image_options,
    refuse_text_options,
    writes_text,
)
from gdl.tasks.labels import ALL, class_labels, labels_of
from gdl.tasks.latents import (
    Images,
    check_temperature,
    decode_grid,
    truncation,
    with_latents,
)
from gdl.texts import Texts

__all__ = ["sample"]


@torch.inference_mode()
def sample(
    model: GenerativeModel,
    x: Images,
    n: int | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    mean: bool = True,
    label: int | str | None = None,
    length: int | None = None,
    stop: str | None = None,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> dict[str, Picture | Tensor | Texts]:
    """Draw n images, n vectors (n, D) or n texts; draw k depends on (seed, k) only.

    Texts, see `draw_texts`, begin anywhere in a text, as the windows that the model was trained on. Of
    pairs of texts they are the sources of the images, each with a drawn target.

    A model with latents but without a distribution over them, such as an autoencoder, decodes
    draws from N(0, I): the course's picture of what it is not.

    Args:
        model: Any model that samples or has latents.
        x: Used of pairs of texts only.
        n: Number of images or of pairs, by default 64, or of texts, by default 4.
        seed: Seed of the whole set.
        temperature: Multiplies the standard deviation of the prior.
        mean: Show E[x | z] where the model has it, as pictures in papers do; false draws pixels too.
        label: Of a conditional model, the class of the images, or "all" for a row of about n / K images
            of each of the K classes; None draws the classes, too.
        length: Of a model of text, the symbols of each; by default those of a window.
        stop: Of a model of text, what ends a text in front of it.
        top_k: Of an autoregressive model, draw from the k most likely values only; None for all.
        top_p: Of an autoregressive model, draw from the fewest values with this probability together.

    Raises:
        Incapable: The model has no values to keep for top_k or top_p.
        GdlError: n is below 1, the model draws nothing, there is no such class, or an option is out of
            range.
    """
    text = writes_text(model) and isinstance(model, Samples)
    pairs = text and translates(model)
    n = (4 if text and not pairs else 64) if n is None else n
    if n < 1:
        raise GdlError(
            f"task.n={n} asks for no {'text' if text else 'image'}: use task.n=1 or more."
        )
    check_temperature(temperature)
    if text:
        refuse_image_options(model, label=label)
    kept = truncation(model, top_k, top_p)
    how = {"length": length, "stop": stop, "seed": seed, "temperature": temperature, **kept}
    if pairs:
        return {"samples": with_targets(model, x, n, **how)}
    if text and goes_on(model):
        return {"samples": draw_texts(model, "sample", n, **how)}
    if text:
        return {"samples": draw_windows(model, n, **how)}
    refuse_text_options(model, length=length, stop=stop)
    columns = max(1, round(n**0.5))
    if label == ALL and model.num_classes:
        columns = max(1, round(n / model.num_classes))
        n = columns * model.num_classes
    labels = labels_of(model, label, lambda k: torch.arange(k).repeat_interleave(columns))
    if isinstance(model, Samples):
        images = model.sample(n, seed=seed, temperature=temperature, mean=mean, **kept, **labels)
    else:
        latents = with_latents(model, "sample")
        noise = SampleNoise(seed, range(n), model.device, model.dtype)
        z = temperature * noise.normal(*latents.latent_shape)
        given = model.checked_labels(labels.get("label"), n)
        rows = None if given is None else model.drawn_labels(given, [*range(n)], seed)
        images = decode_grid(latents, z[None], None if rows is None else rows[None])[0]
    if model.levels is None:
        return {"samples": images.flatten(1)}
    missing = -n % columns
    images = torch.cat([images, torch.zeros_like(images[:1]).expand(missing, -1, -1, -1)])
    what = "sample" if n == 1 else "samples"
    if not isinstance(model, Samples):
        what = f"decoded {what} of N(0, I)"
    options = f"seed {seed}, temperature {temperature:g}{_said(top_k, top_p)}"
    if label not in (None, ALL):
        options = f"class {label}, {options}"
    rows = class_labels(model) if label == ALL and model.num_classes else ()
    title = f"{n} {what}, {options}"
    return {"samples": Picture(images.unflatten(0, (-1, columns)), title, rows=rows, count=n)}


def _said(top_k: int | None, top_p: float) -> str:
    """Return what a title says of the values that were kept."""
    kept = "" if top_k is None else f", top {top_k}"
    return kept if top_p == 1 else f"{kept}, top {top_p:g} of probability"
