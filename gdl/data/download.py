"""Checksums of downloaded files, and the message where a download fails."""

import hashlib
import warnings
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from gdl.errors import GdlError

__all__ = ["DOWNLOAD_ERRORS", "download_failed", "is_original"]


DOWNLOAD_ERRORS = (OSError, RuntimeError, HTTPException)
"""The exceptions of torchvision's download functions: URLError, a wrong checksum, a broken transfer."""


def is_original(
    path: Path,
    content: bytes | memoryview,
    expected: str,
    verify: bool,
    fix: str,
    told: bool = False,
) -> bool:
    """Return whether a file has its published checksum.

    Args:
        path: The file.
        content: The bytes of the file.
        expected: The algorithm and the checksum, e.g. "md5 f68b...".
        verify: Whether another checksum is an error; False only warns.
        fix: What to do about a damaged file, for the message.
        told: Whether another file of the same copy was warned of already, which is enough.

    Raises:
        GdlError: The checksum differs, and `verify` is true.
    """
    algorithm, digest = expected.split()
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found == digest:
        return True
    if verify:
        raise GdlError(
            f"{path} is damaged or not the original, its {algorithm} is {found} and should be "
            f"{digest}: {fix}, or accept this copy with data.verify=false."
        )
    if not told:
        message = f"{path} has not the published {expected}, so this copy is unverified."
        warnings.warn(message, stacklevel=3)
    return False


def download_failed(
    name: str, folder: Path, files: Sequence[Sequence[str]], cause: Exception | None
) -> str:
    """Return the message of a failed download: which files (name, md5) to copy to which folder."""
    reason = " ".join(str(cause).split()) or type(cause).__name__
    listing = ", ".join(f"{file} (md5 {md5})" for file, md5 in files)
    return (
        f"{name} is not complete in {folder} and cannot be downloaded ({reason}): on a machine "
        f"without a network, copy there from elsewhere {listing}, or set GDL_DATA_DIR to the "
        "folder above an existing copy."
    )
