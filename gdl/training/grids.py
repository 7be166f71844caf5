"""What a training draws after validation: pictures, texts, and a table of completions."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from gdl.capabilities import HasLatents, Restores, Samples
from gdl.families.base import GenerativeModel
from gdl.noise import SampleNoise
from gdl.pictures import Picture, subject
from gdl.plots import save_grid
from gdl.tasks import LazyImages, reconstruct, sample
from gdl.tasks.drawn_texts import writes_text
from gdl.texts import Texts, save_texts
from gdl.training.completions import (
    COLUMNS,
    as_markdown,
    between,
    check_prompts,
    completions,
    own_prompts,
    shown,
    table_rows,
)

__all__ = ["ImageGrids", "restorations"]


class ImageGrids(Callback):
    """A callback that writes grids after validation: samples; reconstructed and restored images.

    Seeds and images are fixed, so that the grids of all epochs are comparable. Each grid is written
    to a PNG file and sent to W&B and TensorBoard. The samples of a model of text are a text file. So
    are its completions of prompts, which W&B gets as one table that grows, and TensorBoard as texts.

    Args:
        folder: Folder of the files.
        every_n_epochs: Epochs between two grids; 0 for no grids. The last epoch always has one.
        n: Number of samples.
        seed: Seed of the samples.
        prompts: Of a model of text, what is completed, of pairs the sources; None takes the beginnings
            of some validation windows, or their sources, and an empty list nothing.
        draws: Completions of each prompt.
    """

    def __init__(
        self,
        folder: str,
        every_n_epochs: int = 10,
        n: int = 64,
        seed: int = 0,
        prompts: Sequence[str] | None = None,
        draws: int = 2,
    ) -> None:
        self.folder, self.every_n_epochs = Path(folder), every_n_epochs
        self.n, self.seed = n, seed
        self.prompts, self.draws = prompts, draws
        self.completions: list[list[Any]] = []
        """The rows of the table so far, see `gdl.training.completions.COLUMNS`."""
        self.sampling_ms: float | None = None
        """Milliseconds per sample of the latest grid, whose n samples are drawn together."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a run that goes on later does not draw again."""
        return {"sampling_ms": self.sampling_ms, "completions": self.completions}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the time per sample, and the table of completions."""
        self.sampling_ms = state_dict.get("sampling_ms")
        self.completions = table_rows(state_dict.get("completions"))

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Check the prompts."""
        if isinstance(pl_module, GenerativeModel):
            check_prompts(pl_module, self.prompts or ())

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the grids with the weights that validation used: averaged ones, if there are any."""
        if trainer.sanity_checking or trainer.testing or not trainer.is_global_zero:
            return
        # a last validation after training happens when the epoch has already been counted
        is_after = trainer.state.fn == TrainerFn.VALIDATING
        epoch = trainer.current_epoch + (not is_after)
        is_last = is_after or epoch == trainer.max_epochs
        if not self.every_n_epochs or not (is_last or epoch % self.every_n_epochs == 0):
            return
        assert isinstance(pl_module, GenerativeModel)
        if pl_module.levels is None:
            return
        data = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        x = LazyImages(lambda: data.images("val")[:32], lambda: data.labels("val"))
        for name, grid in self.draw(pl_module, x).items():
            if isinstance(grid, Texts):
                save_texts(grid, self.folder, f"{name}_epoch{epoch:04d}")
                continue
            path = self.folder / f"{name}_epoch{epoch:04d}.png"
            about = ", ".join(filter(None, [subject(pl_module.config), f"epoch {epoch}"]))
            save_grid(replace(grid, title=f"{about}: {grid.title}"), path, pl_module.levels)
            self._log(trainer, f"images/{name}", path, f"epoch {epoch}: {grid.title}")
        if writes_text(pl_module):
            windows = data.images("val")
            self._complete(trainer, pl_module, windows, epoch)

    def draw(self, model: GenerativeModel, x: Tensor | LazyImages) -> dict[str, Picture | Texts]:
        """Return the grids that the model is capable of."""
        found: dict[str, Picture | Tensor | Texts] = {}
        if isinstance(model, Samples | HasLatents):
            start = time.perf_counter()
            found |= sample(model, x, self.n, self.seed)
            found = {k: _on_cpu(p) for k, p in _shown(found).items()}
            texts = [t.draws for t in found.values() if isinstance(t, Texts)]
            self.sampling_ms = 1e3 * (time.perf_counter() - start) / (sum(texts) or self.n)
        if isinstance(model, HasLatents):
            found |= reconstruct(model, x)
        if isinstance(model, Restores):
            images = restorations(model, x[:32].to(model.device), self.seed).cpu()
            rows = ["original", "corrupted", "restored"] * (len(images) // 3)
            found["restorations"] = Picture(images, "restored images", rows=rows)
        return _shown(found)

    def _complete(
        self, trainer: pl.Trainer, model: GenerativeModel, windows: Tensor, epoch: int
    ) -> None:
        """Draw completions of the prompts, write them to a file and add them to the table."""
        prompts = own_prompts(model, windows) if self.prompts is None else self.prompts
        found = completions(model, prompts, self.draws, self.seed)
        if not found:
            return
        link = between(model)
        texts = Texts(
            "completion", len(found), lambda _: [p + link + text for p, _, text in found]
        )
        save_texts(texts, self.folder, f"completions_epoch{epoch:04d}")
        step = trainer.global_step
        new = [[epoch, step, *row] for row in found]
        self.completions = [row for row in self.completions if row[:2] != [epoch, step]] + new
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_table("texts/completions", COLUMNS, shown(self.completions))
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("texts/completions", as_markdown(new, link), step)

    def _log(self, trainer: pl.Trainer, key: str, path: Path, caption: str) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image(key, [str(path)], caption=[caption])
            elif isinstance(logger, TensorBoardLogger):
                from torchvision.io import decode_image

                picture = decode_image(str(path))
                logger.experiment.add_image(key, picture, trainer.global_step)


@torch.inference_mode()
def restorations(model: Any, x: Tensor, seed: int = 0) -> Tensor:
    """Return rows of original, corrupted and restored images, (rows, columns, C, H, W) in levels.

    Args:
        model: A model that restores images.
        x: Images (N, C, H, W) uint8.
        seed: Seed of what they lose.
    """
    clean = x.to(model.dtype) / (model.levels - 1)
    seen = model.corruption(clean, SampleNoise(seed, range(len(x)), x.device, model.dtype))
    columns = min(8, len(x))
    kinds = [
        t[: len(x) // columns * columns].unflatten(0, (-1, columns))
        for t in (clean, seen.image.clamp(0, 1), model.restore(seen))
    ]
    return torch.stack(kinds, 1).flatten(0, 1) * (model.levels - 1)


def _shown(results: Mapping[str, Picture | Tensor | Texts]) -> dict[str, Picture | Texts]:
    return {k: found for k, found in results.items() if isinstance(found, Picture | Texts)}


def _on_cpu(found: Picture | Texts) -> Picture | Texts:
    """Return what was drawn, with its images on the CPU; texts are drawn by that."""
    if isinstance(found, Texts):
        _ = found.texts
        return found
    return replace(found, images=found.images.cpu())
