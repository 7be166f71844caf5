"""Classes by a vote of the nearest neighbours."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

__all__ = ["nearest_labels", "vote"]


def nearest_labels(
    v: Tensor, among: Tensor, labels: Tensor, most: int, itself: bool = False, chunk: int = 500
) -> Tensor:
    """Return the labels (N, most) of the nearest vectors, the nearest first.

    Args:
        v: Vectors (N, F) whose neighbours are looked for.
        among: Vectors (M, F), the neighbours.
        labels: Their labels (M,).
        most: Neighbours of each vector; at most M of them.
        itself: Whether v is `among`, so that a vector is no neighbour of itself (leave-one-out).
        chunk: Vectors at a time.
    """
    found, start = [], 0
    for part in v.split(chunk):
        distances = torch.cdist(part, among)
        if itself:
            rows = torch.arange(len(part))
            distances[rows, start + rows] = torch.inf
        nearest = distances.topk(min(most, len(among) - itself), largest=False).indices
        found.append(labels[nearest])
        start += len(part)
    return torch.cat(found)


def vote(nearest: Tensor, k: int, num_classes: int) -> Tensor:
    """Return the class (N,) of most of the first k neighbours; of equal ones, that of nearer ones.

    Args:
        nearest: Labels (N, K) in {0, ..., num_classes - 1}, the nearest first.
        k: Neighbours that vote, at most K.
        num_classes: Number of classes.
    """
    first = nearest[:, :k]
    # all ranks together weigh less than one vote
    weights = 1 + 0.5 ** torch.arange(2, 2 + first.shape[1], dtype=torch.float64)
    votes = one_hot(first, num_classes).double()
    return (votes * weights[:, None]).sum(1).argmax(1)
