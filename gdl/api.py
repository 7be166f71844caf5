"""What a notebook needs: a trained model, and the data it was trained on."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gdl.process import without_collection
from gdl.runs.checkpoints import load_run_data, load_run_model

if TYPE_CHECKING:
    from gdl.data import ImageData
    from gdl.families import GenerativeModel

__all__ = ["load", "load_data"]


def load(
    run: str | Path = "latest", device: str = "auto", trust: str | Iterable[str] = ()
) -> "GenerativeModel":
    """Return the model of a run, with its best weights, in eval mode.

    It samples (`sample(n, seed=0)`), scores (`nll(x, k=1)`, of the kind `nll_kind`) and, where it has
    latents or can complete images, has `encode`, `decode`, `reconstruct` or `sample_given`; images go
    in as uint8 (B, C, H, W) in {0, ..., levels - 1}.

    Args:
        run: A run directory, a checkpoint file, the folder of an export in the format safetensors or
            torch, or "latest" for the newest run below ./outputs.
        device: "cpu", "cuda", "mps", or "auto" for a GPU where there is one.
        trust: Packages of your own that the checkpoint may name, e.g. "mylab"; nothing else but gdl's
            own classes is built.

    Raises:
        GdlError: There is no such run, or its checkpoint cannot be used.
    """
    with without_collection():  # the models are imported here
        return load_run_model(str(run), device, trust)[1]


def load_data(
    run: str | Path = "latest",
    trust: str | Iterable[str] = (),
    data_dir: str | Path | None = None,
) -> "ImageData":
    """Return the data module of a run, e.g. `load_data("latest").images("test")`.

    Args:
        run: A run directory, a checkpoint file, or "latest" for the newest run below ./outputs.
        trust: See `load`.
        data_dir: Folder of the data sets; by default GDL_DATA_DIR, else where the run had them.

    Raises:
        GdlError: There is no such run, or its data cannot be had.
    """
    return load_run_data(str(run), trust, data_dir)
