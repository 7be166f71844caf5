"""The weights of single epochs of a run, for a page that shows the latent space form."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from gdl.errors import GdlError
from gdl.explorer.graph import Graph
from gdl.explorer.layers import Inexpressible
from gdl.explorer.programs import programs
from gdl.explorer.weights import most_exact
from gdl.families.base import GenerativeModel
from gdl.files import for_shell
from gdl.runs.directory import Run
from gdl.runs.metrics import TERMS
from gdl.serialization import read_checkpoint

__all__ = ["Epoch", "read_epochs", "weights_of"]

MOST_BYTES = 30e6
"""Of the weights of all epochs of a page together."""

BYTES_A_PARAMETER = 2.7
"""16 bits as base64; of a small model 32 bits, twice as many."""


@dataclass(frozen=True)
class Epoch:
    """The model after so many epochs."""

    number: int
    model: GenerativeModel
    """In eval mode."""
    score: str
    """What validation said of it, e.g. "val 2.13 bits/dim (bound)"; empty if nothing."""


def read_epochs(run: Run, model: GenerativeModel) -> list[Epoch]:
    """Return the kept epochs of a run, as many as a page can hold, the first and the last among them.

    Args:
        run: The run.
        model: Its model with the weights that are shown beside those of the epochs.

    Raises:
        GdlError: The run has kept none, or the model is too large for three sets of weights.
    """
    files = run.epochs()
    if not files:
        raise GdlError(
            f"{for_shell(run.path)} has no weights of single epochs for checkpoints=true: train a run "
            "with callbacks=history, since a resumed one does not get its past back."
        )
    params = sum(p.numel() for p in model.parameters())
    each = BYTES_A_PARAMETER * params * (2 if params <= most_exact(model.shape) else 1)
    most = int(MOST_BYTES // each) - 1
    if most < 2:
        raise GdlError(
            f"checkpoints=true is for small models: with {params:,} parameters each epoch would add "
            f"{each / 1e6:.0f} MB to the page; leave it out."
        )
    return [_read(number, files[number], model) for number in thinned([*files], most)]


def thinned(numbers: Sequence[int], most: int) -> list[int]:
    """Return at most so many of sorted numbers, evenly in their order, with the first and the last.

    >>> thinned([0, 1, 2, 3, 5, 7, 10], 3)
    [0, 3, 10]
    """
    if len(numbers) <= most:
        return [*numbers]
    last = len(numbers) - 1
    return [numbers[round(i * last / (most - 1))] for i in range(most)]


def _read(number: int, path: Path, model: GenerativeModel) -> Epoch:
    content = read_checkpoint(path)
    own = copy.deepcopy(model)
    own.load_weights(content["state_dict"], path)  # refuses the weights of another model
    return Epoch(number, own.eval(), _score(content.get("gdl_validation"), model.nll_kind))


def _score(numbers: object, kind: str | None) -> str:
    """Return the number of a validation with its unit; the file may be a stranger's."""
    found = numbers if isinstance(numbers, dict) else {}
    for key, name in TERMS.items():
        value = found.get(f"val/{key}")
        if isinstance(value, float) and math.isfinite(value):
            about = f" ({kind})" if kind and key in ("bpd", "nll") else ""
            return f"val {value:.3f} {name}{about}"
    return ""


def weights_of(epoch: Epoch, graphs: dict[str, Graph]) -> list[Tensor]:
    """Return the tensors of an epoch in the order of those of the page's graphs.

    Raises:
        Inexpressible: The networks of this epoch are others, beside their weights.
    """
    own, weights = programs(epoch.model)
    if {k: g.plain() for k, g in own.items()} != {k: g.plain() for k, g in graphs.items()}:
        raise Inexpressible(
            f"The page cannot show epoch {epoch.number}, whose networks are not those of the run: "
            "leave out checkpoints=true."
        )
    return weights.tensors
