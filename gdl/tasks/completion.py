"""Completion of images of which some pixels are known."""

from typing import Any

import torch
from hydra.utils import get_class
from omegaconf import OmegaConf
from torch import Tensor

from gdl.capabilities import SamplesGiven
from gdl.commands.conf import CONF
from gdl.corruptions.masks import known_pixels
from gdl.errors import GdlError
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.base import GenerativeModel

__all__ = ["complete", "completing_models"]


@torch.inference_mode()
def complete(
    model: GenerativeModel,
    x: Tensor,
    known: str = "top",
    images: int = 8,
    completions: int = 6,
    seed: int = 0,
    temperature: float = 1.0,
) -> dict[str, Tensor]:
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
    """
    if not isinstance(model, SamplesGiven):
        raise GdlError(
            f"task=complete needs a model that draws some pixels given others, and "
            f"{type(model).__name__} cannot: use a run of {completing_models()}."
        )
    assert model.levels is not None
    mask = known_pixels(known, model.shape).to(model.device)
    if isinstance(model, AutoregressiveModel) and not model.known_come_first(mask):
        print(
            "Some known pixels come after unknown ones in the model's order: they are kept, but the "
            "unknown pixels before them are drawn without looking at them."
        )
    x = x[:images].to(model.device)
    given = x.repeat_interleave(completions, 0)
    drawn = model.sample_given(len(given), given, mask, seed=seed, temperature=temperature)
    shown = torch.where(mask, x.float(), (model.levels - 1) / 2)
    rows = [shown[:, None], drawn.unflatten(0, (len(x), -1)).float(), x[:, None].float()]
    return {"completions": torch.cat(rows, 1)}


def completing_models() -> str:
    """Return the choices of `model` that can complete images, as text for an error."""
    files: dict[str, Any] = {
        f.stem: OmegaConf.load(f) for f in sorted((CONF / "model").glob("*.yaml"))
    }
    targets = {name: f["_target_"] for name, f in files.items() if "_target_" in f}
    names = [name for name, t in targets.items() if issubclass(get_class(t), SamplesGiven)]
    return f"model={', '.join(names[:-1])} or {names[-1]}"
