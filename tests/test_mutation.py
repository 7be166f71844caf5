"""data.mutation: every data set gives images of which some pixels are noise, and says so."""

import pytest
import torch
from test_data import TABLE, UNVERIFIED, binarized

from gdl.data import Digits, Toy
from gdl.errors import GdlError
from gdl.runs.metrics import data_identity, data_name, data_title

RATE = 0.3


def mutated(name, root, rate=RATE):
    """Return a data set of the table with a mutation, which its constructor is given or not."""
    data = TABLE[name][0](root)
    data.mutation = rate
    return data


@UNVERIFIED
@pytest.mark.parametrize("name", TABLE)
def test_pixels_of_every_split_are_replaced_at_the_rate_by_uniform_levels(root, name):
    clean, noisy, again = TABLE[name][0](root), mutated(name, root), mutated(name, root)
    for split in ("train", "val", "test"):
        x, y = clean.images(split), noisy.images(split)
        assert y.dtype == torch.uint8
        assert y.shape == x.shape
        assert int(y.max()) < noisy.levels
        assert torch.equal(y, again.images(split)), "every call draws the same"
        if name == "dynamic" and split == "train":
            continue  # another draw of the binarization
        changed = (x != y).double().mean()
        # a new level is the old one with probability 1 / levels
        expected = RATE * (1 - 1 / noisy.levels)
        error = (expected * (1 - expected) / x.numel()) ** 0.5
        assert abs(changed - expected) < 6 * error
    epochs = [torch.cat(list(noisy.train_dataloader())) for _ in range(2)]
    assert torch.equal(*epochs), "the noise is a function of seed and epoch"
    seen = torch.cat(list(noisy.val_dataloader()))
    assert torch.equal(seen, noisy.images("val"))


@UNVERIFIED
@pytest.mark.parametrize("name", TABLE)
def test_perturbed_data_never_share_a_table_with_others(root, name):
    found = [TABLE[name][0](root), mutated(name, root), mutated(name, root, 0.1)]
    facts = [{"data": name, **{f"data/{k}": v for k, v in d.identity().items()}} for d in found]
    for say in (data_identity, data_title, data_name):
        assert len({say(f) for f in facts}) == 3
    assert "mutation" not in found[0].identity()
    assert "mutation 0.3" in data_title(facts[1])


def test_a_rate_of_1_is_uniform_noise_and_0_is_nothing():
    everything = Digits(shape=(1, 8, 8), levels=17, mutation=1)
    x = everything.images("train")
    counts = torch.bincount(x.flatten(), minlength=17) / x.numel()
    assert torch.allclose(counts, torch.full((17,), 1 / 17), atol=5e-3)
    nothing, clean = (Digits(shape=(1, 8, 8), levels=17, **o) for o in ({"mutation": 0.0}, {}))
    assert nothing.identity() == clean.identity()
    assert torch.equal(nothing.images("test"), clean.images("test"))


@UNVERIFIED
def test_a_binarization_comes_before_the_noise(root):
    x = binarized(root, "dynamic", mutation=0.2).images("train")
    assert int(x.max()) == 1


@pytest.mark.parametrize("rate", [-0.1, 1.5, "much", True, None, float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(GdlError, match=r"data.mutation must be a number from 0 to 1, got"):
        Digits(shape=(1, 8, 8), levels=17, mutation=rate)


def test_continuous_data_have_no_levels_to_draw():
    with pytest.raises(GdlError, match="continuous data have no levels: leave it out, or use"):
        Toy("rings", [2], mutation=0.1)
