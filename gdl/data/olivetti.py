"""The Olivetti faces: ten 64x64 grey photographs of each of 40 people (AT&T Cambridge, 1994)."""

from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gdl.data.base import ImageData, Split
from gdl.errors import GdlError

__all__ = ["Olivetti"]

FILE = "olivettifaces.mat"
PERSONS = {"train": slice(0, 32), "val": slice(32, 35), "test": slice(35, 40)}


class Olivetti(ImageData):
    """400 faces with 256 levels, split by person.

    The first 32 people (320 images) are for training, the next 3 (30) for validation and the last
    5 (50) for testing, so nobody is in two splits. The label of an image is its person, 0 to 39.

    Args:
        **kwargs: See `ImageData`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._file = self.data_dir / FILE

    def load(self) -> dict[str, Split]:
        """Return 320 training, 30 validation and 50 test images; see `ImageData.load`."""
        x = _read_mat(self._file) if self._file.is_file() else self._fetch()
        images = torch.from_numpy(x).view(40, 10, 1, 64, 64)
        persons = torch.arange(40)[:, None].expand(40, 10)
        return {
            name: (images[chosen].flatten(0, 1), persons[chosen].flatten())
            for name, chosen in PERSONS.items()
        }

    def _fetch(self) -> np.ndarray:
        """Return the images (400, 64, 64) uint8 from scikit-learn, which downloads and caches them.

        Raises:
            GdlError: The download failed, or scikit-learn's file is another one.
        """
        from sklearn.datasets import fetch_olivetti_faces  # takes a second to import

        try:
            faces: Any = fetch_olivetti_faces(data_home=self.data_dir)
        except (OSError, HTTPException) as e:
            reason = " ".join(str(e).split()) or type(e).__name__
            raise GdlError(
                f"The Olivetti faces are not in {self.data_dir} and cannot be downloaded "
                f"({reason}): on a machine without a network, copy {FILE} or scikit-learn's "
                "olivetti_py3.pkz there, or set GDL_DATA_DIR to the folder that has it."
            ) from e
        # scikit-learn divides by the largest value, which is 242 in the original images
        x = faces.images * 242
        if np.abs(x - x.round()).max() > 1e-3:
            raise GdlError(
                "scikit-learn's copy of the Olivetti faces is not the original with 8 bits: put "
                f"{FILE} into {self.data_dir}."
            )
        return x.round().astype(np.uint8)


def _read_mat(path: Path) -> np.ndarray:
    """Return the images (400, 64, 64) uint8 of the MATLAB file, which has one image per column.

    Raises:
        GdlError: The file is damaged, or another one.
    """
    from scipy.io import loadmat  # takes a second to import

    fix = "replace it, or delete it, so that it is downloaded"
    try:
        faces = loadmat(path)["faces"]
    except Exception as e:  # a damaged file makes loadmat raise almost anything
        raise GdlError(f"{path} is damaged or cut off: {fix}.") from e
    if faces.dtype != np.uint8 or faces.shape != (4096, 400):
        raise GdlError(
            f"{path} holds {faces.dtype} faces of shape {faces.shape} instead of uint8 of shape "
            f"(4096, 400): {fix}."
        )
    # MATLAB stores an image column by column
    return np.ascontiguousarray(faces.T.reshape(400, 64, 64).transpose(0, 2, 1))
