"""The Olivetti faces: ten 64x64 grey photographs of each of 40 people (AT&T Cambridge, 1994)."""

import io
import warnings
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from gdl.data.base import ImageData, Split
from gdl.errors import GdlError
from gdl.files import write_atomically

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
        """Download the images (400, 64, 64) uint8 with scikit-learn, and keep them as MATLAB's file.

        scikit-learn keeps a pickle, which could run code if somebody else put it there; so it gets
        an empty folder.

        Raises:
            GdlError: The download failed, or scikit-learn's file is another one.
        """
        from sklearn.datasets import fetch_olivetti_faces  # takes a second to import

        try:
            with TemporaryDirectory() as empty:
                faces: Any = fetch_olivetti_faces(data_home=empty)
        except (OSError, HTTPException) as e:
            reason = " ".join(str(e).split()) or type(e).__name__
            raise GdlError(
                f"The Olivetti faces are not in {self.data_dir} and cannot be downloaded "
                f"({reason}): on a machine without a network, copy {FILE} there, or set "
                "GDL_DATA_DIR to the folder that has it."
            ) from e
        # scikit-learn divides by the largest value, which is 242 in the original images
        x = faces.images * 242
        if np.abs(x - x.round()).max() > 1e-3:
            raise GdlError(
                "The downloaded Olivetti faces are not the original with 8 bits: put "
                f"{FILE} into {self.data_dir}."
            )
        x = x.round().astype(np.uint8)
        self._keep(x)
        return x

    def _keep(self, x: np.ndarray) -> None:
        from scipy.io import savemat

        buffer = io.BytesIO()
        savemat(buffer, {"faces": x.transpose(0, 2, 1).reshape(400, 4096).T})
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, buffer.getvalue())
        except OSError as e:  # a data folder that many share may be read-only
            warnings.warn(
                f"The Olivetti faces were not kept for the next time: {e}.", stacklevel=3
            )


def _read_mat(path: Path) -> np.ndarray:
    """Return the images (400, 64, 64) uint8 of the MATLAB file, which has one image per column.

    Raises:
        GdlError: The file is damaged, or another one.
    """
    from scipy.io import loadmat, whosmat  # takes a second to import

    fix = "replace it, or delete it, so that it is downloaded"
    try:
        found = whosmat(path)  # the headers: what they announce could fill the memory
        faces = loadmat(path)["faces"] if found == [("faces", (4096, 400), "uint8")] else None
    except Exception as e:  # a damaged file makes loadmat raise almost anything
        raise GdlError(f"{path} is damaged or cut off: {fix}.") from e
    if faces is None:
        raise GdlError(
            f"{path} holds {found} instead of faces of shape (4096, 400) and type uint8: {fix}."
        )
    # MATLAB stores an image column by column
    return np.ascontiguousarray(faces.T.reshape(400, 64, 64).transpose(0, 2, 1))
