"""gdl compress: images to a small file, without a loss, e.g. run=latest photos/ out=photos.gdlz."""

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

__all__ = ["compress", "main"]


def compress(cfg: DictConfig) -> dict[str, float]:
    """Compress image files, folders or images of the run's data; print what that takes.

    Args:
        cfg: See conf/compress.yaml.

    Raises:
        GdlError: The model cannot code these images, or the file exists already.
    """
    import os
    from pathlib import Path

    from gdl.coding import check_codable
    from gdl.coding import compress as code
    from gdl.coding.image_files import check_channels, read_images
    from gdl.data.listing import printable
    from gdl.errors import GdlError
    from gdl.files import for_shell, write_atomically
    from gdl.runs.checkpoints import load_run_data, load_run_model

    out = Path(cfg.out)
    if os.path.lexists(out):
        raise GdlError(f"{for_shell(out)} exists already: remove it, or name another out=.")
    if not out.parent.is_dir():
        raise GdlError(f"There is no folder {for_shell(out.parent)} to write {out.name} in.")
    run, model = load_run_model(cfg.run, "cpu")
    check_codable(model)
    assert model.levels is not None
    if cfg.files:
        images, names, left_out = read_images(cfg.files, model.shape, model.levels)
        for what in left_out[:10]:
            print(f"left out:   {printable(what)}")
        if left_out[10:]:
            print(f"left out:   {len(left_out) - 10} more")
    else:
        check_channels(model.shape)
        if cfg.split not in ("test", "val", "train"):
            raise GdlError(f"There is no split={cfg.split}: use test, val or train.")
        images, names = load_run_data(cfg.run, data_dir=cfg.data_dir).images(cfg.split), None
    images, names = images[: cfg.limit], names if names is None else names[: cfg.limit]
    enable_garbage_collection()
    done = code(model, images, names, run="/".join(run.path.parts[-3:]))
    write_atomically(out, done.content)
    numbers = _numbers(model, images, done)
    _print(numbers, model.nll_kind)
    print(f"file:       {for_shell(out)}")
    return numbers


def _numbers(model: GenerativeModel, images: Tensor, done: Compressed) -> dict[str, float]:
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


def _print(numbers: dict[str, float], kind: str | None) -> None:
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


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command
        from gdl.commands.overrides import with_files

        sys.argv[1:] = with_files(sys.argv[1:], "compress")
        run_command(compress, "compress")


if __name__ == "__main__":
    run_as_process(main)
