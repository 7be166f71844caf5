"""A folder of images: what is read, how it is scaled and cropped, and what is said of the rest."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from test_data import folder

from gdl.data.listing import list_images
from gdl.errors import GdlError

RED, GREEN = (255, 0, 0), (0, 255, 0)


def save(path, height, width, colour=RED, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (width, height), colour)
    image.save(path, **options)
    return image


def everything(data):
    """All images, sorted, because the split hides which is which."""
    x = torch.cat([data.images(split) for split in ("train", "val", "test")])
    return sorted(x.flatten(1).tolist())


def only(tmp_path, image, name="x.png", **options):
    """Return what a folder makes of one image: three copies of it, one in each split."""
    for i in range(3):
        image.save(tmp_path / f"{i}{name}")
    data = folder(tmp_path, **options)
    x = data.images("train")[0]
    assert torch.equal(data.images("val")[0], x)
    assert torch.equal(data.images("test")[0], x)
    return x


def test_files_that_are_not_read_are_counted_and_named_whatever_their_ending(tmp_path, capsys):
    for i in range(6):
        save(tmp_path / f"sub{i % 2}" / f"{i}.png", 20, 30 + i)
    save(tmp_path / "cut.jpg", 200, 200)
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    save(tmp_path / "cut.png", 64, 64)
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.JPEG").write_bytes(b"")
    data = folder(tmp_path)
    data.setup()
    assert (data.facts()["images"], data.facts()["skipped_files"]) == (6, 4)
    names = [said.split(" ")[0] for said in data.facts()["skipped_first"]]
    assert names == ["cut.jpg", "cut.png", "empty.JPEG", "text.png"]
    assert len(everything(data)) == 6
    capsys.readouterr()
    (tmp_path / "notes").write_text("without an ending")
    (tmp_path / "photo.heic").write_bytes(b"of a telephone")
    (tmp_path / "._0.png").write_bytes(b"a hidden file of another system")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    data = folder(tmp_path)
    data.setup()
    assert (data.facts()["images"], data.facts()["skipped_files"]) == (6, 9)
    line = capsys.readouterr().out
    assert ": 6 images of 15 files (4 train, 1 val, 1 test); 9 not read: cut.jpg (" in line
    assert line.endswith(", ...\n") or line.endswith(", ....\n")
    reasons = "\n".join(list_images(tmp_path).left_out)
    for name in ("notes", "photo.heic", "._0.png", "gone.png", "pipe.png"):
        assert name in reasons


def test_good_files_are_all_read(root, capsys):
    data = folder(root / "images")
    data.setup()
    assert data.facts() == {"images": 10, "skipped_files": 0, "skipped_first": []}
    assert "10 images of 10 files (8 train, 1 val, 1 test)." in capsys.readouterr().out


def test_an_image_of_the_right_size_keeps_its_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    x = only(tmp_path, Image.fromarray(pixels))
    assert torch.equal(x.permute(1, 2, 0), torch.from_numpy(pixels))


@pytest.mark.parametrize(("height", "width"), [(40, 80), (80, 40), (5, 10), (28, 20)])
def test_scaling_covers_the_shape_and_the_crop_is_central(tmp_path, height, width):
    # green stripes on both ends of the longer side, as wide as what the crop removes
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = 255
    if height != width:
        along = pixels if height > width else pixels.transpose(1, 0, 2)
        n = (max(height, width) - min(height, width)) // 2
        along[:n], along[len(along) - n :] = GREEN, GREEN
    x = only(tmp_path, Image.fromarray(pixels))
    assert x.shape == (3, 16, 16)
    inner = x[:, 2:-2, 2:-2]  # the cubic filter reaches two pixels beyond the crop
    assert (inner[0].min(), inner[1].max()) == (255, 0)
    assert x[1].float().mean() < 5
    assert torch.equal(x, x.flip(1, 2)), "not central"


def test_shrinking_averages(tmp_path):
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    x = only(tmp_path, Image.fromarray(board), shape=(1, 16, 16))
    assert x.float().sub(127.5).abs().max() <= 1, "a checkerboard must become even grey"


def test_orientation_of_the_camera_is_undone(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8] = RED
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    for i in range(3):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png", exif=exif)
    x = folder(tmp_path).images("train")[0]
    assert (x[0, :8] == 255).all(), "the left half comes to the top"
    assert (x[0, 8:] == 0).all()


@pytest.mark.parametrize(
    ("image", "rgb", "grey"),
    [
        (Image.new("L", (16, 16), 100), (100, 100, 100), 100),
        (Image.new("RGB", (16, 16), RED), RED, 76),  # 0.299 * 255
        (Image.new("RGB", (16, 16), RED).convert("P"), RED, 76),
        (Image.new("RGBA", (16, 16), (*RED, 255)), RED, 76),
        (Image.new("RGBA", (16, 16), (*RED, 0)), (255, 255, 255), 255),
        (Image.new("LA", (16, 16), (100, 0)), (255, 255, 255), 255),
        (Image.new("1", (16, 16), 1), (255, 255, 255), 255),
    ],
    ids=["grey", "rgb", "palette", "opaque", "transparent", "grey-alpha", "1-bit"],
)
def test_every_mode_becomes_rgb_or_grey(tmp_path, image, rgb, grey):
    assert only(tmp_path, image)[:, 3, 3].tolist() == list(rgb)
    assert only(tmp_path, image, shape=(1, 16, 16))[:, 3, 3].tolist() == [grey]


def test_mixed_sizes_without_scaling_are_refused_with_the_sizes(tmp_path):
    for i, width in enumerate((20, 20, 20, 24)):
        save(tmp_path / f"{i}.png", 28, width)
    with pytest.raises(GdlError, match=r"^1 images .* than 28x20.* 28x24 \(1 .*Set data\.size=64"):
        folder(tmp_path, shape=(3, 28, 20), size=None).setup()
    (tmp_path / "3.png").unlink()
    assert folder(tmp_path, shape=(3, 28, 20), size=None).images("train").shape == (1, 3, 28, 20)


@pytest.mark.parametrize("n", [0, 2])
def test_too_few_images_are_refused(tmp_path, n):
    for i in range(n):
        save(tmp_path / f"{i}.png", 16, 16)
    with pytest.raises(GdlError, match=f"{n} readable images.*add images"):
        folder(tmp_path).setup()


def test_the_split_is_a_function_of_split_seed(root):
    val = [
        folder(root / "images", val_fraction=0.3, split_seed=s).images("val") for s in (0, 0, 1)
    ]
    assert torch.equal(val[0], val[1])
    assert not torch.equal(val[0], val[2])
