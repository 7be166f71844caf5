"""Files with 16 bits a value: 12 bits in them are not nearly black, whatever the format."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from test_data import folder

from gdl.data.decoding import read_image
from gdl.errors import GdlError


def png(x):
    """A PNG file with 16 bits of an array (H, W, C), C = 1 to 4."""
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[x.shape[2]]
    chunk = lambda kind, data: (  # noqa: E731
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )
    header = struct.pack(">IIBBBBB", x.shape[1], x.shape[0], 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in x)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(x, order, compressed):
    """A TIFF file with 16 bits of an array (H, W, C), C = 1 or 3, of either order of bytes."""
    data = x.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if compressed else data
    h, w, c = x.shape
    after = 8 + 2 + 12 * 9 + 4
    bits = struct.pack(f"{order}3H", 16, 16, 16)
    values = {256: w, 257: h, 258: after if c == 3 else 16, 259: 8 if compressed else 1}
    values |= {262: 2 if c == 3 else 1, 273: after + len(bits), 277: c, 278: h, 279: len(data)}
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 9)
    for tag, value in values.items():
        long = tag in (273, 279) or (tag == 258 and c == 3)
        out += struct.pack(
            f"{order}HHI", tag, 4 if tag in (273, 279) else 3, c if tag == 258 else 1
        )
        out += struct.pack(f"{order}I", value) if long else struct.pack(f"{order}HH", value, 0)
    return out + struct.pack(f"{order}I", 0) + bits + data


def pnm(x, maximum):
    h, w, c = x.shape
    kind = {1: "P5", 3: "P6"}[c]
    return f"{kind} {w} {h} {maximum}\n".encode() + x.astype(">u2").tobytes()


FORMATS = {
    **{f"png{c}": (c, "png", png) for c in (1, 2, 3, 4)},
    **{
        f"tiff{c}{order}{'z' * packed}": (
            *(c, "tif"),
            lambda x, order=order, packed=packed: tiff(x, order, packed),
        )
        for c in (1, 3)
        for order in "<>"
        for packed in (0, 1)
    },
    **{f"pnm{c}-{m}": (c, "ppm", lambda x, m=m: pnm(x, m)) for c in (1, 3) for m in (4095, 65535)},
}


@pytest.mark.parametrize("name", FORMATS)
def test_twelve_bits_reach_from_black_to_white(tmp_path, name):
    channels, ending, encode = FORMATS[name]
    x = np.random.default_rng(0).integers(0, 4096, (3, 16, 16, channels))
    x[1, 0, 0, 0], x[0, 0, 0, 0] = 4095, 0
    if channels in (2, 4):
        x[..., -1] = 65535  # opaque
    for i in range(3):
        (tmp_path / f"{i}.{ending}").write_bytes(encode(x[i]))
    data = folder(tmp_path)
    found = torch.cat([data.images(split) for split in ("train", "val", "test")])
    grey = x[..., :1] if channels < 3 else x[..., :3]
    expected = np.rint(np.broadcast_to(grey, (3, 16, 16, 3)) / 4095 * 255)
    key = lambda array: sorted(np.asarray(array).reshape(3, -1).tolist())  # noqa: E731
    assert np.abs(np.array(key(found.permute(0, 2, 3, 1))) - key(expected)).max() <= 1


def write_constant(tmp_path, *values):
    for i, value in enumerate(values):
        x = np.full((16, 16), value, np.uint16)
        x[0, 0] = 0
        Image.fromarray(x).save(tmp_path / f"{i}.png")


def middle(data):
    return sorted(int(data.images(s)[0, 0, 8, 8]) for s in ("train", "val", "test"))


def test_white_is_one_value_for_all_files_and_is_said(tmp_path, capsys):
    write_constant(tmp_path, 1000, 2000, 4000)
    data = folder(tmp_path)
    assert middle(data) == [64, 128, 255]
    assert data.facts()["white"] == 4000
    assert "of 16 bits with data.white=4000" in capsys.readouterr().out
    assert middle(folder(tmp_path, white=8000)) == [32, 64, 128]
    assert middle(folder(tmp_path, white=2000)) == [128, 255, 255]


def test_files_with_8_bits_are_not_changed_by_white(tmp_path, capsys):
    for i in range(3):
        Image.new("L", (16, 16), 100).save(tmp_path / f"{i}.png")
    data = folder(tmp_path, white=1000)
    assert middle(data) == [100] * 3
    assert "white" not in data.facts()
    assert "16 bits" not in capsys.readouterr().out


@pytest.mark.parametrize("white", [0, -1, 70000, "bright", True])
def test_a_white_that_is_no_value_is_refused(tmp_path, white):
    write_constant(tmp_path, 1, 2, 3)
    with pytest.raises(GdlError, match=r"data\.white must be"):
        folder(tmp_path, white=white)


def test_a_single_image_takes_its_own_white_and_is_turned_upright(tmp_path):
    x = np.zeros((16, 16), np.uint16)
    x[:, :8] = 3000
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(x).save(tmp_path / "x.png", exif=exif)
    y = read_image(tmp_path / "x.png", (1, 16, 16))[0]
    assert (y[:8] == 255).all()
    assert (y[8:] == 0).all()
