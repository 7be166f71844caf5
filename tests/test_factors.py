"""Theorems about data whose images are a function of known factors."""

from itertools import pairwise
from math import prod

import numpy as np
import pytest
import torch

from gdl.data.base import kept_images
from gdl.data.cache import digest_of
from gdl.data.chairs import Chairs
from gdl.data.dsprites import FILE, DSprites
from gdl.data.factors import FactorData, HasFactors, factors_of, index_of
from gdl.data.shapes3d_like import Shapes3DLike
from gdl.data.splits import SPLITS
from gdl.errors import GdlError

FEW = {"num_val": 12, "num_test": 16}
COLOUR = {"shape": (3, 64, 64), "levels": 256}


def dsprites(root, **options):
    options = {"fraction": 5e-5, "label": "shape", **FEW, **options}
    return DSprites(shape=(1, 64, 64), levels=2, data_dir=str(root), **options)


def shapes3d_like(root, **options):
    options = {"fraction": 5e-5, "label": "shape", **FEW, **options}
    return Shapes3DLike(data_dir=str(root), **COLOUR, **options)


def chairs(root, **options):
    return Chairs(
        data_dir=str(root), **COLOUR, **{"fraction": 5e-4, "label": "style", **FEW, **options}
    )


TABLE = {  # the start of the SHA-256 of 16 images, which are the same on every machine
    "dsprites": (dsprites, "869475870bcc"),
    "shapes3d_like": (shapes3d_like, "ea66920e91fe"),
    "chairs": (chairs, "172be0eff30c"),
}


@pytest.fixture(scope="module", params=TABLE)
def built(request, tmp_path_factory):
    """Each data set, which is drawn once."""
    data = TABLE[request.param][0](tmp_path_factory.mktemp("factors"))
    data.setup()
    return data


def some_factors(data: FactorData, n: int) -> torch.Tensor:
    index = torch.linspace(0, prod(data.factor_sizes) - 1, n).long()
    return factors_of(index, data.factor_sizes)


@pytest.mark.parametrize("sizes", [(1, 3, 6, 40, 32, 32), (5,), (2, 3, 4), (10, 10, 10, 8, 4, 15)])
def test_combinations_and_their_numbers_are_a_bijection_and_the_last_factor_is_fastest(sizes):
    index = torch.arange(prod(sizes))
    factors = factors_of(index, sizes)
    assert torch.equal(index_of(factors, sizes), index)
    assert (factors < torch.tensor(sizes)).all()
    assert torch.equal(factors[: sizes[-1], -1], torch.arange(sizes[-1]))


def test_images_are_those_of_the_factors_and_labels_are_one_of_them(built):
    assert isinstance(built, HasFactors)
    for split in SPLITS:
        factors, x, y = built.factors(split), built.images(split), built.labels(split)
        assert factors.dtype == torch.int64
        assert torch.equal(built.render(factors), x)
        assert torch.equal(y, factors[:, built.factor_names.index(built.label)])
    assert len(built.class_names) == built.num_classes


def test_combinations_are_in_one_split_and_test_images_are_those_of_every_fraction(
    built, tmp_path
):
    numbers = {s: set(index_of(built.factors(s), built.factor_sizes).tolist()) for s in SPLITS}
    assert sum(map(len, numbers.values())) == sum(len(built.images(s)) for s in SPLITS)
    assert len(set.union(*numbers.values())) == sum(map(len, numbers.values()))
    larger = type(built)(
        shape=built.shape,
        levels=built.levels,
        fraction=4 * built.fraction,
        data_dir=str(tmp_path),
        **FEW,
    )
    for split in ("val", "test"):
        assert torch.equal(larger.factors(split), built.factors(split))
    assert numbers["train"] < set(index_of(larger.factors("train"), built.factor_sizes).tolist())
    other = type(built)(
        shape=built.shape, levels=built.levels, split_seed=1, data_dir=str(tmp_path), **FEW
    )
    assert not torch.equal(other.factors("test"), built.factors("test"))


def test_images_drawn_again_have_the_same_digest_and_batches(built, tmp_path):
    again = type(built)(
        shape=built.shape, levels=built.levels, fraction=built.fraction, label=built.label,
        data_dir=str(tmp_path), **FEW,
    )  # fmt: skip
    assert again.identity() == built.identity()
    assert built.identity()["fraction"] == built.fraction
    batches = lambda data: torch.cat(list(data.train_dataloader()))  # noqa: E731
    assert torch.equal(batches(again), batches(built))


@pytest.mark.parametrize("name", TABLE)
def test_pixels_are_the_same_on_every_machine(name, tmp_path):
    build, digest = TABLE[name]
    data = build(tmp_path)
    assert digest_of([data.render(some_factors(data, 16)).numpy()])[:12] == digest


def test_every_step_of_a_factor_changes_the_picture(built):
    middle = torch.tensor([size // 2 for size in built.factor_sizes])
    for f, size in enumerate(built.factor_sizes):
        values = sorted({*np.linspace(0, size - 1, 8).astype(int).tolist()})
        line = middle.repeat(len(values), 1)
        line[:, f] = torch.tensor(values)
        for a, b in pairwise(built.render(line)):
            assert not torch.equal(a, b), (built.factor_names[f], values)


def test_factors_out_of_range_are_refused(built):
    for wrong in (-1, 10**6):
        with pytest.raises(GdlError, match="numbered from 0"):
            built.render(torch.full((1, len(built.factor_sizes)), wrong))
    with pytest.raises(GdlError, match="whole numbers of shape"):
        built.render(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(GdlError, match="train, val, test"):
        built.factors("training")


@pytest.mark.parametrize("options", [{"label": "hue"}, {"num_test": 737_280}, {"source": "web"}])
def test_wrong_options_are_refused_by_name(options, tmp_path):
    with pytest.raises(GdlError, match=f"data.{next(iter(options))}"):
        dsprites(tmp_path, **options)


def sprites(shape, scale=5, orientation=0, x=0, y=0):
    rows = torch.broadcast_tensors(*map(torch.as_tensor, (0, shape, scale, orientation, x, y)))
    return DSprites.draw(None, torch.stack([r.reshape(-1) for r in rows], -1))[:, 0].bool()


def centres(images):
    """Return the mean column and row (N, 2) of white pixels, in pixels from the corner."""
    at = torch.arange(64) + 0.5
    mass = images.sum((1, 2))
    return torch.stack([(images.sum(1) * at).sum(1) / mass, (images.sum(2) * at).sum(1) / mass], 1)


def test_sprites_have_as_many_pixels_as_in_the_published_animation():
    scales = torch.arange(6)
    published = (
        [100, 144, 196, 256, 324, 400],
        [76, 104, 144, 184, 228, 288],
        [58, 84, 108, 140, 182, 222],
    )
    for shape, areas in enumerate(published):
        drawn = sprites(shape, scales).sum((1, 2)).tolist()
        assert sum(abs(a - b) for a, b in zip(drawn, areas, strict=True)) <= 2 * (shape == 2)
    turned = [
        222,
        225,
        226,
        225,
        225,
        225,
        227,
        224,
        225,
        225,
        225,
        224,
        225,
        225,
        225,
        225,
        226,
        228,
    ]
    assert sprites(2, orientation=torch.arange(18)).sum((1, 2)).tolist() == turned


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_position_moves_the_centre_from_16_to_48_pixels_and_nothing_else(shape):
    along = torch.arange(32)
    for axis, images in enumerate((sprites(shape, x=along, y=7), sprites(shape, x=7, y=along))):
        c = centres(images)
        expected = 16 + along * 32 / 31
        # a square with upright edges moves by whole pixels
        assert ((c[:, axis] - c[0, axis]) - (expected - 16)).abs().max() < 0.51
        assert (c[:, 1 - axis] - c[0, 1 - axis]).abs().max() < 0.35


def test_a_square_has_four_symmetries_an_ellipse_two_and_a_heart_none():
    angles = torch.arange(40)
    for shape, period in enumerate((1, 2, 4)):
        x = sprites(shape, orientation=angles)[
            :, :32, :32
        ]  # the centre is the corner of four pixels
        for quarters in (1, 2, 3):
            same = torch.equal(torch.rot90(x, quarters, (1, 2)), x)
            assert same == (quarters % period == 0), (shape, quarters)
        assert torch.equal(x[0], x[39]), "as in the published file, a full turn is the first again"


def test_orientation_is_counter_clockwise():
    column, row = (centres(sprites(2, orientation=torch.tensor([0, 10, 20, 29]))) - 16).T
    assert row[0] < -1.5, "at first the tip is below"
    assert row[2] > 1.5
    assert column[1] < -1.5, "after a quarter of a turn it is on the right"
    assert column[3] > 1.5


@pytest.mark.parametrize("name", ["shapes3d_like", "chairs"])
def test_a_colour_changes_only_its_part_of_the_picture_and_no_view(name, tmp_path):
    data = TABLE[name][0](tmp_path)
    colours = [f for f, n in enumerate(data.factor_names) if n not in data.view_factors]
    base = some_factors(data, 5)[[1, 3]]
    for part, f in enumerate(colours):
        other = base.clone()
        other[:, f] = (other[:, f] + 1) % data.factor_sizes[f]
        changed = (data.render(base) != data.render(other)).any(1)
        for row, differs in zip(base, changed, strict=True):
            weights = torch.from_numpy(data.view(tuple(row[data._columns].tolist())))
            assert differs.any()
            assert (weights[part][differs] > 0).all()
            assert (differs | (weights[part] < 40)).all()
            assert weights.long().sum(0).max() <= 255


def test_a_chair_seen_from_the_left_is_the_mirror_image_of_one_seen_from_the_right(tmp_path):
    data = chairs(tmp_path)
    for style in range(4):
        left, right = ((data.view((style, a, 2))[:2] > 0).any(0) for a in (7, 36 - 7))
        assert (left != right[:, ::-1]).mean() < 0.01
        assert (left != right).mean() > 0.03


class Small(DSprites):
    """A published file with few images."""

    factor_sizes = (1, 3, 2, 2, 2, 2)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def small(root, **options):
    options = {"num_val": 4, "num_test": 4, **options}
    return Small(shape=(1, 64, 64), levels=2, data_dir=str(root), **options)


def write_published(root, change=lambda images, classes: (images, classes)):
    factors = factors_of(torch.arange(48), Small.factor_sizes)
    images, classes = change(DSprites.draw(None, factors)[:, 0].numpy(), factors.numpy())
    metadata = np.array(Trap(root / "ran"), dtype=object)
    (root / "dsprites").mkdir(exist_ok=True)
    np.savez_compressed(
        root / "dsprites" / FILE, metadata=metadata, imgs=images, latents_classes=classes
    )


def test_the_published_file_is_read_without_running_its_pickle(tmp_path):
    write_published(tmp_path)
    data = small(tmp_path)
    drawn = small(tmp_path, source="generated")
    for split in SPLITS:
        assert torch.equal(data.images(split), data.render(data.factors(split)))
    assert data.facts()["source"] == "file"
    assert data.facts()["rendering"] == "identical"
    assert data.identity()["digest"] == drawn.identity()["digest"]
    assert data.identity() != drawn.identity()
    assert not (tmp_path / "ran").exists()


def test_a_published_file_with_other_pixels_is_told_and_has_another_identity(tmp_path):
    def flipped(images, classes):
        images[:, 0, 0] ^= 1
        return images, classes

    write_published(tmp_path, flipped)
    data = small(tmp_path)
    assert data.identity()["digest"] != small(tmp_path, source="generated").identity()["digest"]
    assert (data.images("test")[:, 0, 0, 0] == 1).all()
    assert data.facts()["rendering"] == "different"
    assert data.facts()["rendering_equal"] == 0
    assert 0.9 < data.facts()["rendering_iou"] < 1


DAMAGED = {
    "another order": lambda images, classes: (images, classes[::-1]),
    "imgs has shape": lambda images, classes: (images[:-1], classes),
    "latents_classes has shape": lambda images, classes: (images, classes[:-1]),
}


@pytest.mark.parametrize("message", DAMAGED)
def test_another_file_is_refused(message, tmp_path):
    write_published(tmp_path, DAMAGED[message])
    with pytest.raises(GdlError, match=f"{message}.*data.source=generated"):
        small(tmp_path).setup()


def test_a_file_that_is_cut_off_or_missing_is_refused(tmp_path):
    with pytest.raises(GdlError, match="put the published file there"):
        small(tmp_path, source="file").setup()
    write_published(tmp_path)
    path = tmp_path / "dsprites" / FILE
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(GdlError, match="is damaged"):
        small(tmp_path).setup()


def test_a_choice_with_a_larger_fraction_contains_one_with_a_smaller():
    sizes = [1e-9, 0.1, 0.5, 1.0]
    chosen = [set(kept_images(101, fraction).tolist()) for fraction in sizes]
    assert [len(c) for c in chosen] == [1, 10, 50, 101]
    assert all(a < b for a, b in pairwise(chosen))
