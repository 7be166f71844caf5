"""Which images are for training, validation and testing."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gdl.data.arguments import held_out_fractions, whole_number
from gdl.data.base import hold_out
from gdl.errors import GdlError

__all__ = ["SPLITS", "Division", "class_labels", "divide", "named_splits"]

SPLITS = ("train", "val", "test")

FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What a folder's, or a part's, name says of the images in it."""


class Division:
    """How images are divided into three splits, at random where nothing else is said.

    Args:
        choice: "random", or which folder, or part, each split is: {"train": ..., "val": ...,
            "test": ...}, where None means to look for one with a usual name.
        val_fraction: Fraction of the images held out for validation, at least one image.
        test_fraction: Fraction of the images held out for testing, at least one image.
        seed: Seed of the random choice.

    Raises:
        GdlError: An argument is out of range.
    """

    def __init__(
        self,
        choice: str | Mapping[str, Any] | None,
        val_fraction: float,
        test_fraction: float,
        seed: int,
    ) -> None:
        self.fractions = held_out_fractions(val_fraction, test_fraction)
        self.seed = whole_number("data.split_seed", seed, largest=2**63 - 1)
        given = {"train": None, "val": None, "test": None}
        if isinstance(choice, Mapping):
            given |= {str(key): value for key, value in choice.items()}
        elif choice not in ("random", "auto", None):
            raise GdlError(
                f"data.split must be random, or name folders as in "
                f"data.split.train=NAME data.split.test=NAME, got {choice!r}."
            )
        if unknown := set(given) - set(SPLITS):
            raise GdlError(f"data.split has the keys train, val and test, not {min(unknown)!r}.")
        self.random = choice == "random"
        self.names = {k: str(v).strip("/") for k, v in given.items() if v is not None}
        if self.names and "train" not in self.names:
            raise GdlError("data.split names no training images: set data.split.train=NAME too.")

    def __repr__(self) -> str:
        return f"{self.random} {sorted(self.names.items())} {self.fractions} {self.seed}"


def named_splits(names: Sequence[str], division: Division) -> list[tuple[str, str]] | None:
    """Return the split of each file by its folder, and the rest of its path; None without folders.

    Without names of its own the division recognises train/, valid/ or val/, and test/, at any depth,
    if there is one of the latter beside the first. A file outside of all has the split "".

    Args:
        names: Paths below the root, such as "train/cats/1.png".
        division: What the splits are called.
    """
    if division.random:
        return None
    if division.names:
        return [_below(name, division.names) for name in names]
    found = [_recognised(name) for name in names]
    splits = {split for split, _ in found}
    return found if "train" in splits and splits & {"val", "test"} else None


def _below(name: str, folders: Mapping[str, str]) -> tuple[str, str]:
    # the longest first, because one may lie in another
    for split, folder in sorted(folders.items(), key=lambda item: -len(item[1])):
        if name.startswith(f"{folder}/"):
            return split, name[len(folder) + 1 :]
    return "", name


def _recognised(name: str) -> tuple[str, str]:
    *parents, file = name.split("/")
    for i, part in enumerate(parents):
        if split := FOLDERS.get(part.lower()):
            return split, "/".join([*parents[:i], *parents[i + 1 :], file])
    return "", name


UNLABELLED = ("unlabelled", "unlabeled")
"""What a folder beside those of classes is called whose images have no label."""


def class_labels(names: Sequence[str]) -> tuple[list[int], list[str]] | None:
    """Return labels and classes of files that all lie in folders, of which there are two or more.

    Files in a folder `UNLABELLED` have the label -1.

    Args:
        names: Paths without the folder of the split, such as "cats/1.png".
    """
    while names and all("/" in name for name in names):
        parents = [name.split("/", 1)[0] for name in names]
        if len(folders := sorted(set(parents))) > 1:
            classes = [name for name in folders if name.lower() not in UNLABELLED]
            index = {name: i for i, name in enumerate(classes)}
            return [index.get(p, -1) for p in parents], classes
        names = [name.split("/", 1)[1] for name in names]  # a folder around all
    return None


def divide(splits: Sequence[str] | int, division: Division, where: str) -> dict[str, Tensor]:
    """Return the indices of the images of each split.

    Args:
        splits: The number of images, or the split of each. Where validation or test images are
            missing, they are held out from the training images.
        division: How to divide.
        where: What the images are from, for the message.

    Raises:
        GdlError: There are too few images.
    """
    if isinstance(splits, int):
        given = {"train": torch.arange(splits)}
    else:
        given = {
            name: torch.tensor([i for i, s in enumerate(splits) if s == name]) for name in SPLITS
        }
        given = {name: index for name, index in given.items() if len(index)}
    train, total = given.get("train", torch.arange(0)), len(given.get("train", ()))
    for name, fraction in zip(("test", "val"), reversed(division.fractions), strict=True):
        if name not in given:
            num = max(1, round(fraction * total))
            if num >= len(train):
                raise GdlError(
                    f"{where} holds {total} readable images for training, too few to hold out "
                    "others for validation and testing: add images (PNG, JPEG, ...)."
                )
            (train, _), (given[name], _) = hold_out(train, None, num, division.seed)
    if not len(train):
        raise GdlError(f"{where} holds no readable images for training: add images.")
    return {"train": train, "val": given["val"], "test": given["test"]}
