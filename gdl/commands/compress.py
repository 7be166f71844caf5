"""gdl compress: images or texts to a small file, exactly, e.g. run=latest notes.txt out=notes.gdlz."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gdl.process import enable_garbage_collection, run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import Tensor

    from gdl.coding import Compressed
    from gdl.families import GenerativeModel
    from gdl.runs.directory import Run

__all__ = ["compress", "main"]


def compress(cfg: DictConfig) -> dict[str, float]:
    """Compress files, folders or a split of the run's data; print what that takes.

    Args:
        cfg: See conf/compress.yaml.

    Raises:
        GdlError: The model cannot code these files, or the file exists already.
    """
    import os
    from pathlib import Path

    from gdl.data.alphabets import alphabet_of
    from gdl.errors import GdlError
    from gdl.files import for_shell, write_atomically
    from gdl.runs.checkpoints import load_run_model

    out = Path(cfg.out)
    if os.path.lexists(out):
        raise GdlError(f"{for_shell(out)} exists already: remove it, or name another out=.")
    if not out.parent.is_dir():
        raise GdlError(f"There is no folder {for_shell(out.parent)} to write {out.name} in.")
    run, model = load_run_model(cfg.run, "cpu")
    if not cfg.files and cfg.split not in ("test", "val", "train"):
        raise GdlError(f"There is no split={cfg.split}: use test, val or train.")
    code = _images if alphabet_of(model.config) is None else _texts
    done, numbers = code(cfg, run, model)
    write_atomically(out, done.content)
    print(f"file:       {for_shell(out)}")
    return numbers


# ---- images


def _images(
    cfg: DictConfig, run: Run, model: GenerativeModel
) -> tuple[Compressed, dict[str, float]]:
    from gdl.coding import check_codable, stream_lengths
    from gdl.coding import compress as code
    from gdl.coding.image_files import check_channels, read_images
    from gdl.errors import GdlError
    from gdl.runs.checkpoints import load_run_data

    check_codable(model)
    assert model.levels is not None
    for name in ("stride", "parts"):
        if cfg[name] is not None:
            raise GdlError(f"{name}= is for texts, and this is a model of images: leave it out.")
    if cfg.files:
        images, names, left_out = read_images(cfg.files, model.shape, model.levels)
        _tell(left_out)
    else:
        check_channels(model.shape)
        images, names = load_run_data(cfg.run, data_dir=cfg.data_dir).images(cfg.split), None
    images, names = images[: cfg.limit], names if names is None else names[: cfg.limit]
    enable_garbage_collection()
    done = code(model, images, names, run="/".join(run.path.parts[-3:]))
    numbers = _image_numbers(model, images, done)
    _print_images(numbers, model.nll_kind)
    if cfg.codecs:
        numbers |= _print_codecs(stream_lengths(images, model.levels))
    return done, numbers


def _image_numbers(model: GenerativeModel, images: Tensor, done: Compressed) -> dict[str, float]:
    """Return what the file takes beside what the model's likelihood says."""
    import torch

    n, bits = len(images), done.payload_bits
    with torch.inference_mode():
        nats = sum(float(model.nll(x).double().sum()) for x in images.split(500)) / n
    bpd, expected = bits / images.numel(), model.bits_per_dim(nats)
    own = (bits - done.initial_bits) / images.numel()
    return {
        "images": n,
        "bytes": len(done.content),
        "payload_bytes": bits / 8,
        "initial_bits": done.initial_bits,
        "payload_bpd": bpd,
        "model_bpd": expected,
        "overhead_percent": 100 * (bpd / expected - 1),
        "overhead_without_initial_bits_percent": 100 * (own / expected - 1),
        "images_per_second": n / done.seconds,
    }


def _print_images(numbers: dict[str, float], kind: str | None) -> None:
    part = {name: f"{x:,.0f}" for name, x in numbers.items()}
    print(f"images:     {part['images']}, {part['images_per_second']} per second")
    print(f"bytes:      {part['bytes']}, of which {part['payload_bytes']} are the images")
    print(
        f"bits/dim:   {numbers['payload_bpd']:.4f}; the model's nll ({kind}) is "
        f"{numbers['model_bpd']:.4f}, so the overhead is {numbers['overhead_percent']:.3f} %"
    )
    if numbers["initial_bits"]:
        rest = numbers["overhead_without_initial_bits_percent"]
        print(
            f"bits-back:  {part['initial_bits']} of these bits were needed to start with; without them "
            f"the overhead is {rest:.3f} %"
        )


# ---- texts


def _texts(
    cfg: DictConfig, run: Run, model: GenerativeModel
) -> tuple[Compressed, dict[str, float]]:
    from gdl.coding import check_codes_text, compress_texts, compressed_lengths
    from gdl.coding.text_files import read_texts

    _, alphabet = check_codes_text(model)
    if cfg.files:
        contents, names, left_out = read_texts(cfg.files)
        contents, names = contents[: cfg.limit], names[: cfg.limit]
        _tell(left_out)
    else:
        contents, names = [alphabet.content(_held_out(cfg, model))], [f"{cfg.split}.txt"]
    enable_garbage_collection()
    where = "/".join(run.path.parts[-3:])
    done = compress_texts(model, contents, names, where, cfg.stride, cfg.parts)
    numbers = _text_numbers(model, contents, names, done)
    _print_texts(numbers, model.nll_kind)
    if cfg.codecs:
        numbers |= _print_codecs(compressed_lengths(b"".join(contents)))
    return done, numbers


def _held_out(cfg: DictConfig, model: GenerativeModel) -> Tensor:
    """Return the symbols (T,) of a split, perhaps only those of the first so many windows."""
    from gdl.data.text_protocols import HasText
    from gdl.errors import GdlError
    from gdl.runs.checkpoints import load_run_data

    data = load_run_data(cfg.run, data_dir=cfg.data_dir)
    if not isinstance(data, HasText):
        raise GdlError("The run's data are no text: name text files.")
    text = data.stream(cfg.split)
    return text if cfg.limit is None else text[: cfg.limit * model.num_dims]


def _text_numbers(
    model: GenerativeModel, contents: list[bytes], names: list[str], done: Compressed
) -> dict[str, float]:
    """Return what the file takes beside what the model's conditionals say."""
    import torch

    from gdl.coding import check_codes_text, text_bits, unpack
    from gdl.coding.texts import encoded

    own, alphabet = check_codes_text(model)
    layout = unpack(done.content, "It")[0]
    assert layout.texts is not None
    text = torch.cat([encoded(alphabet, c, name) for c, name in zip(contents, names, strict=True)])
    expected, size = text_bits(own, text, layout.texts.stride), sum(map(len, contents))
    return {
        "texts": len(contents),
        "text_bytes": size,
        "symbols": len(text),
        "bytes": len(done.content),
        "payload_bytes": done.payload_bits / 8,
        "payload_bits_per_byte": done.payload_bits / max(1, size),
        "model_bits_per_byte": expected / max(1, size),
        "overhead_percent": 100 * (done.payload_bits / max(1.0, expected) - 1),
        "symbols_per_second": len(text) / done.seconds,
        "parts": layout.batch,
        "stride": layout.texts.stride,
    }


def _print_texts(numbers: dict[str, float], kind: str | None) -> None:
    part = {name: f"{x:,.0f}" for name, x in numbers.items()}
    files = f" in {part['texts']} files" if numbers["texts"] > 1 else ""
    print(
        f"text:       {part['text_bytes']} bytes{files}, {part['symbols']} symbols, "
        f"{part['symbols_per_second']} per second"
    )
    print(f"bytes:      {part['bytes']}, of which {part['payload_bytes']} are the text")
    if numbers["symbols"]:
        several = numbers["parts"] > 1
        cut = f"; the text is coded in {part['parts']} parts side by side" if several else ""
        print(
            f"bits/byte:  {numbers['payload_bits_per_byte']:.4f}; the model's nll ({kind}), with a "
            f"window that moves by {part['stride']}, is {numbers['model_bits_per_byte']:.4f}, so the "
            f"overhead is {numbers['overhead_percent']:.2f} %{cut}"
        )


# ---- both


def _tell(left_out: list[str]) -> None:
    from gdl.data.listing import printable

    for what in left_out[:10]:
        print(f"left out:   {printable(what)}")
    if left_out[10:]:
        print(f"left out:   {len(left_out) - 10} more")


def _print_codecs(found: dict[str, int]) -> dict[str, float]:
    print(f"codecs:     {', '.join(f'{name} {size:,}' for name, size in found.items())} bytes")
    return {f"{name}_bytes": size for name, size in found.items()}


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command
        from gdl.commands.overrides import with_files

        sys.argv[1:] = with_files(sys.argv[1:], "compress")
        run_command(compress, "compress")


if __name__ == "__main__":
    run_as_process(main)
