"""CIFAR-10 (Krizhevsky, 2009, "Learning multiple layers of features from tiny images")."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.utils import download_and_extract_archive

from gdl.data.base import ImageData, Split, hold_out
from gdl.data.download import DOWNLOAD_ERRORS, download_failed, is_original
from gdl.errors import GdlError

__all__ = ["CIFAR10"]

SOURCE = datasets.CIFAR10
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


class CIFAR10(ImageData):
    """60,000 colour images of 32x32 pixels in 10 classes.

    Args:
        bits: Bits per channel, 1 to 8. With fewer than 8 the lowest bits are dropped,
            x // 2^(8 - bits); Glow uses 5. Results at different `bits` are not comparable.
        num_val: Training images held out for validation.
        split_seed: Seed of the random choice of these images.
        verify: Whether files with other than the published checksums are an error; False warns.
        **kwargs: See `ImageData`; `levels` is 2^bits.

    Raises:
        GdlError: `bits` or `num_val` is out of range, or `levels` is not 2^bits.
    """

    class_names = CLASSES

    def __init__(
        self,
        bits: int = 8,
        num_val: int = 5_000,
        split_seed: int = 0,
        verify: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if bits not in range(1, 9):
            raise GdlError(f"data.bits must be between 1 and 8, got {bits}.")
        if self.levels != 2**bits:
            raise GdlError(
                f"data.levels is {self.levels}, but {bits} bits have {2**bits} levels: leave "
                "data.levels alone and set data.bits."
            )
        if not 0 < num_val < 50_000:
            raise GdlError(f"data.num_val must be between 1 and 49999, got {num_val}.")
        self.bits, self.num_val, self.split_seed = bits, num_val, split_seed
        self.verify, self.verified = verify, True
        self._folder = self.data_dir / SOURCE.base_folder

    def prepare_data(self) -> None:
        """Download and unpack the archive if a batch file is missing.

        Raises:
            GdlError: The download failed; the message names the archive and where it goes.
        """
        names = [name for name, _ in SOURCE.train_list + SOURCE.test_list]
        if all((self._folder / name).is_file() for name in names):
            return
        try:
            root = str(self.data_dir)
            download_and_extract_archive(SOURCE.url, root, None, SOURCE.filename, SOURCE.tgz_md5)
        except DOWNLOAD_ERRORS as e:
            archive = [(SOURCE.filename, SOURCE.tgz_md5)]
            raise GdlError(download_failed("CIFAR10", self.data_dir, archive, e)) from e

    def load(self) -> dict[str, Split]:
        """Return 45,000 training, 5,000 validation and 10,000 test images; see `ImageData.load`."""
        self.prepare_data()
        x, y = self._read(SOURCE.train_list)
        train, val = hold_out(x, y, self.num_val, self.split_seed)
        return {"train": train, "val": val, "test": self._read(SOURCE.test_list)}

    def facts(self) -> dict[str, Any]:
        """Return the bits per channel, and whether the files have the published checksums."""
        return {"bits": self.bits, "verified": self.verified}

    def _read(self, files: list[list[str]]) -> tuple[Tensor, Tensor]:
        """Return the images (N, 3, 32, 32) uint8 and labels (N,) int64 of batch files."""
        batches = [self._read_batch(self._folder / name, md5) for name, md5 in files]
        x = torch.from_numpy(np.concatenate([x for x, _ in batches])).view(-1, 3, 32, 32)
        y = torch.tensor([label for _, labels in batches for label in labels])
        return x >> (8 - self.bits), y

    def _read_batch(self, path: Path, md5: str) -> tuple[np.ndarray, list[int]]:
        content = path.read_bytes()
        fix = f"delete {self._folder}, so that it is unpacked or downloaded again"
        told = not self.verified
        self.verified &= is_original(path, content, f"md5 {md5}", self.verify, fix, told)
        try:
            batch = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
            x, labels = batch["data"], [int(label) for label in batch["labels"]]
            if x.dtype != np.uint8 or x.shape != (len(labels), 3072):
                raise ValueError(f"{len(labels)} labels for {x.dtype} data of shape {x.shape}")
        except _UNREADABLE as e:
            raise GdlError(f"{path} is not a batch of CIFAR-10 ({e}): {fix}.") from e
        return x, labels


_UNREADABLE = (
    *(pickle.UnpicklingError, EOFError, AttributeError),
    *(ValueError, TypeError, LookupError, OverflowError, MemoryError),
)
"""The exceptions that a damaged pickle file can raise."""


class _ArrayUnpickler(pickle.Unpickler):
    """Reads only arrays and plain containers, so that no file can run code."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        # NumPy 2 renamed numpy.core, and the official files are older
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): _encode_latin1,
        }
        if (module_name, global_name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return allowed[module_name, global_name]


def _encode_latin1(text: str, _encoding: str) -> bytes:
    """Return bytes that pickle protocol 2 stored as a latin-1 string."""
    return text.encode("latin1")
