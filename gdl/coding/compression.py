"""Images to bytes and back, with the coder that fits the model."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gdl.coding.autoregressive import BATCH, code_images
from gdl.coding.bits_back import LARGEST, pop_images, push_images
from gdl.coding.container import MAX_VALUES, Header, pack, unpack
from gdl.coding.mixtures import Mixture, largest_mixture_batch, pop_mixture, push_mixture
from gdl.coding.pinned import arithmetic, pinned
from gdl.coding.tables import RangeDecoder, RangeEncoder, Stack
from gdl.errors import GdlError
from gdl.families.autoregressive import AutoregressiveModel
from gdl.families.base import GenerativeModel
from gdl.models import VAE
from gdl.version import __version__

__all__ = [
    "Compressed",
    "check_codable",
    "check_model",
    "compress",
    "decompress",
    "differs",
    "model_digest",
]


@dataclass(frozen=True)
class Compressed:
    """Images or texts as bytes.

    Attributes:
        content: The bytes of the file.
        payload_bits: Bits of the coder's words, without header and checksum.
        initial_bits: Of these, the bits that bits-back coding had at its start.
        seconds: What the coding took.
    """

    content: bytes
    payload_bits: int
    initial_bits: int
    seconds: float


def check_codable(model: GenerativeModel) -> str:
    """Return the kind of code that a model has, one of `KINDS`.

    Raises:
        GdlError: Images cannot be coded with it; the message says with which models they can.
    """
    name = type(model).__name__
    if not isinstance(model, AutoregressiveModel | VAE):
        raise GdlError(
            f"{name} gives no probabilities that can be coded exactly: gdl compress takes runs of "
            "autoregressive models (fvsbn, made, nade, pixelcnn, pixelcnn_pp, transformer) and of vae."
        )
    if isinstance(model, VAE) and model.num_classes:
        raise GdlError(
            f"The posterior of this {name} asks for labels, which a file of images lacks: use a run "
            "without model.conditional, or of an autoregressive model."
        )
    if isinstance(model, AutoregressiveModel):
        model.refuse_pairs("gdl compress asks for codes of whole windows")
    if model.levels is None or model.levels > 256:
        raise GdlError(f"gdl compress takes images of up to 256 levels, not {model.levels}.")
    if isinstance(model, VAE):
        return "latents"
    return "mixture" if len(Mixture(model)) > 1 else "autoregressive"


def compress(
    model: GenerativeModel,
    images: Tensor,
    names: Sequence[str] | None = None,
    run: str = "",
) -> Compressed:
    """Return images as bytes, which `decompress` turns back into the same images.

    Args:
        model: An autoregressive model or a VAE, on the CPU, in eval mode.
        images: (n, C, H, W) uint8, n > 0, in {0, ..., levels - 1}.
        names: A file name for each image.
        run: Where the model is from, for whoever has the file.

    Raises:
        GdlError: The model cannot code images, or these are none of its images.
    """
    kind, images = check_codable(model), images.cpu()
    (c, h, w), levels = model.shape, model.levels
    assert levels is not None
    _check_images(model, images)
    started = time.perf_counter()
    with pinned(model):
        words, initial, batch = _encoded(model, images)
    seconds = time.perf_counter() - started
    header = Header(
        digest=model_digest(model),
        run=run,
        kind=kind,
        shape=(c, h, w),
        levels=levels,
        count=len(images),
        batch=batch,
        initial_words=initial,
        pixels=_pixel_digest(images),
        names=None if names is None else tuple(names),
        arithmetic=arithmetic(),
        gdl=__version__,
    )
    return Compressed(pack(header, words), 32 * len(words), 32 * initial, seconds)


def decompress(
    model: GenerativeModel, content: bytes, where: str = "The file"
) -> tuple[Tensor, Header]:
    """Return the images (n, C, H, W) uint8 of a file, and its header.

    Args:
        model: The model with which the file was written, on the CPU, in eval mode.
        content: The bytes of the file.
        where: Its name, for errors.

    Raises:
        GdlError: The file is damaged, is of another model, or this machine computes other numbers
            than the one that wrote it. Wrong images are never returned.
    """
    header, words = unpack(content, where)
    if header.texts is not None:
        raise GdlError(f"{where} holds texts: decode it with gdl.coding.decompress_texts.")
    check_model(model, header, check_codable(model), where)
    with pinned(model):
        images = _decoded(model, header, words)
    if images is None or _pixel_digest(images) != header.pixels:
        raise GdlError(differs(header, "image", where))
    return images, header


def _encoded(model: GenerativeModel, images: Tensor) -> tuple[np.ndarray, int, int]:
    """Return the words, how many of them were there at the start, and the size of a batch."""
    if isinstance(model, VAE):
        stack = Stack()
        push_images(model, stack, images, LARGEST)
        return *stack.words(), LARGEST
    assert isinstance(model, AutoregressiveModel)
    if len(mixture := Mixture(model)) > 1:
        stack, batch = Stack(), largest_mixture_batch(model)
        push_mixture(mixture, stack, images, batch)
        return *stack.words(), batch
    encoder = RangeEncoder()
    code_images(model, encoder, len(images), BATCH, images)
    return encoder.words(), 0, BATCH


def _decoded(model: GenerativeModel, header: Header, words: np.ndarray) -> Tensor | None:
    """Return the images, None where the words are not of these numbers."""
    n, batch = header.count, header.batch
    if header.kind == "autoregressive":
        assert isinstance(model, AutoregressiveModel)
        try:
            return code_images(model, RangeDecoder(words), n, batch)
        except AssertionError:  # constriction's, of words that no encoder writes
            return None
    if not words[-1:].any():  # no stack ends like this
        return None
    stack = Stack(words, header.initial_words)
    if isinstance(model, VAE):
        images = pop_images(model, stack, n, batch)
    else:
        assert isinstance(model, AutoregressiveModel)
        images = pop_mixture(Mixture(model), stack, n, batch)
    return images if stack.is_start() else None


def _check_images(model: GenerativeModel, images: Tensor) -> None:
    assert model.levels is not None
    if not len(images):
        raise GdlError("There are no images to compress: name image files, or folders with some.")
    if images.numel() > MAX_VALUES:
        raise GdlError(
            f"{len(images):,} images are more than one file can have, "
            f"{MAX_VALUES // images[0].numel():,}: compress them in parts."
        )
    if tuple(images.shape[1:]) != model.shape or images.dtype != torch.uint8:
        raise GdlError(
            f"The images have shape {tuple(images.shape[1:])} and type {images.dtype}, the model takes "
            f"{model.shape} and torch.uint8: use a run that was trained on such images."
        )
    if int(images.max()) >= model.levels:
        raise GdlError(
            f"The images have values up to {int(images.max())}, the model takes values below "
            f"{model.levels}: use a run that was trained on such images."
        )


def check_model(model: GenerativeModel, header: Header, kind: str, where: str) -> None:
    """Check that a file was written with this model, whose kind of code is one of `KINDS`.

    Raises:
        GdlError: It was not, or it says something else about the model.
    """
    if model_digest(model) != header.digest:
        hint = f" ({header.run:.200})" if header.run else ""
        raise GdlError(
            f"{where} was written with another model than this run's: name the run that wrote it{hint} "
            "with run=."
        )
    if (kind, model.shape, model.levels) != (header.kind, header.shape, header.levels):
        raise GdlError(f"{where} is damaged: its header does not fit the model that it names.")


def differs(header: Header, what: str, where: str) -> str:
    """Return what is told of a file whose images or texts (`what`) come out otherwise here."""
    return (
        f"{where} cannot be decoded exactly here, so no {what} was written: the model's numbers differ "
        f"from those of the machine that wrote it ({header.arithmetic:.100}; this one has "
        f"{arithmetic()}). Decode it on such a machine."
    )


def model_digest(model: GenerativeModel) -> str:
    """Return a SHA-256, as hexadecimal digits, of a model's configuration and weights."""
    own = model.config.get("model") or model.description()
    config = {k: v for k, v in own.items() if k not in ("optimizer", "scheduler")}
    whole = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, t in sorted(model.state_dict().items()):
        whole.update(f"{name} {t.dtype} {tuple(t.shape)}".encode())
        whole.update(t.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return whole.hexdigest()


def _pixel_digest(images: Tensor) -> str:
    text = f"{tuple(images.shape)}".encode()
    return hashlib.sha256(text + images.contiguous().numpy().tobytes()).hexdigest()
