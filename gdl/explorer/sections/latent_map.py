"""Section latent_map: test images as points or thumbnails in the plane, and the way back from there."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdl.capabilities import HasLatents, HasPosterior
from gdl.evaluation.representations import Components, principal_components
from gdl.explorer.subject import Subject
from gdl.explorer.thumbnails import sheet
from gdl.explorer.weights import packed

__all__ = ["content"]

MOST_NUMBERS = 60_000
"""Of codes and directions together, 16 bits each."""

FEWEST_POINTS = 10
"""Of a t-SNE."""


def content(subject: Subject) -> dict[str, Any] | None:
    """Return what the map shows; None for models without latents and for data that are no images.

    Returns:
        "tensors", packed: codes (N, K), mean (M,) and directions (K, M), so that codes @ directions +
        mean are the latents (N, M), and of more than two latents the first two columns of the codes are
        their principal components; then a t-SNE (N, 2) if "tsne". "variance": of all of the codes'
        variance what the K directions and what the first two hold. "labels": index into "names" or -1.
        "sheet", see `thumbnails.sheet`. "prior": whether latents are N(0, 1). "whole" and "left_out":
        how many test images there are, and how many have no finite code.
    """
    model = subject.model
    if not isinstance(model, HasLatents) or len(model.shape) != 3 or model.levels is None:
        return None
    z = subject.posterior[0]
    finite = z.isfinite().all(1)
    z, images = z[finite], subject.images[finite]
    components, shares = _components(z)
    codes = components.encode(z)
    tensors = [codes, components.mean, components.directions]
    tsne = _tsne(codes, subject.seed) if z.shape[1] > 2 else None
    labels, names = _labels(subject, finite)
    return {
        "tensors": packed(tensors if tsne is None else [*tensors, tsne]),
        "tsne": tsne is not None,
        "pca": z.shape[1] > 2 and len(z) > 1,
        "variance": shares,
        "labels": labels,
        "names": names,
        "sheet": sheet(images, model.levels) if len(images) else None,
        "prior": isinstance(model, HasPosterior),
        "whole": len(subject.data.images("test")),
        "left_out": int((~finite).sum()),
    }


def _components(z: Tensor) -> tuple[Components, list[float]]:
    """Return the directions in which codes (N, M) are kept, and the variance of all and of two of them.

    One or two latents are kept as they are; codes that are all equal have no directions but the axes.
    """
    n, m = z.shape
    most = max(2, (MOST_NUMBERS - m) // (n + m))
    if m <= 2 or n < 2 or bool((z == z[0]).all()):
        mean = torch.zeros(m) if m <= 2 or n == 0 else z.mean(0)
        return Components(mean, torch.eye(m)[:most]), [1.0, 1.0]
    found = principal_components(z, min(n, m, most))
    whole = z.double().var(0).sum()
    held = found.encode(z).double().var(0).cumsum(0) / whole.clamp(min=1e-12)
    return found, [round(float(v), 4) for v in (held[-1], held[min(1, len(held) - 1)])]


def _tsne(codes: Tensor, seed: int) -> Tensor | None:
    """Return points (N, 2) that keep the neighbours of codes (N, K); None of few or of equal codes."""
    if len(codes) < FEWEST_POINTS or float(codes.std(0)[:2].min()) < 1e-6:
        return None
    from sklearn.manifold import TSNE  # scikit-learn takes a second to import

    few = min(30.0, (len(codes) - 1) / 3)
    map_ = TSNE(perplexity=few, init="pca", random_state=seed, max_iter=500)
    return torch.from_numpy(map_.fit_transform(codes[:, :50].numpy())).float()


def _labels(subject: Subject, kept: Tensor) -> tuple[list[int] | None, list[str]]:
    """Return the class of each kept image as an index, -1 where unknown, and the names of classes."""
    if subject.labels is None:
        return None, []
    y = subject.labels[kept].numpy()
    used = np.unique(y[y >= 0])
    if not len(used):
        return None, []
    known = subject.class_names
    names = [known[c] if c < len(known) else str(c) for c in used]
    return np.where(y < 0, -1, np.searchsorted(used, y)).tolist(), names
