"""Nothing that a model keeps goes stale: it computes with its weights, however they were written."""

import copy
from collections.abc import Callable

import pytest
import torch
from small_models import build_small
from torch import Tensor, nn

import gdl.models
from gdl.capabilities import HasLatents, InitializesFromData, Samples
from gdl.families.base import GenerativeModel
from gdl.families.flow import FlowModel

SHAPE, LEVELS = (1, 8, 8), 17
X = torch.randint(LEVELS, (3, *SHAPE), dtype=torch.uint8)


def in_place(model: nn.Module) -> None:
    for p in model.parameters():
        p.mul_(1.01).add_(0.01)


def through_data(model: nn.Module) -> None:
    for p in model.parameters():
        p.data.mul_(1.01).add_(0.01)  # which autograd's version counter does not see


def through_numpy(model: nn.Module) -> None:
    for p in model.parameters():
        p.detach().numpy()[...] *= 1.01


def new_data(model: nn.Module) -> None:
    for p in model.parameters():
        p.data = p.data * 1.01


def transposed(model: nn.Module) -> None:
    """The same memory, read in another order."""
    for p in model.parameters():
        if p.dim() > 1 and p.shape[-1] == p.shape[-2]:
            p.data = p.data.mT


def exchanged_and_back(model: nn.Module) -> None:
    """As weight averaging does for a validation."""
    for p in model.parameters():
        old = p.data.clone()
        p.data.copy_(torch.zeros_like(old))
        p.data.copy_(1.01 * old + 0.01)


def one_vector(model: nn.Module) -> None:
    vector = nn.utils.parameters_to_vector(model.parameters())
    nn.utils.vector_to_parameters(vector * 1.01, model.parameters())


def optimizer_step(model: nn.Module) -> None:
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    torch.optim.SGD(model.parameters(), 0.01, foreach=True).step()


def loaded(model: nn.Module, assign: bool = False) -> None:
    changed = {k: v * 1.01 if v.is_floating_point() else v for k, v in model.state_dict().items()}
    model.load_state_dict(changed, assign=assign)


def assigned(model: nn.Module) -> None:
    loaded(model, assign=True)


def other_signs(model: nn.Module) -> None:
    """The buffers of the matrices in Glow."""
    for name, buffer in model.named_buffers():
        if name.endswith("sign"):
            buffer.neg_()


def double(model: nn.Module) -> None:
    model.double()


WRITES: list[Callable[[nn.Module], None]] = [
    in_place, through_data, through_numpy, new_data, exchanged_and_back, one_vector, optimizer_step,
    loaded, assigned, other_signs, transposed, double,
]  # fmt: skip


def use(model: GenerativeModel) -> list[Tensor]:
    """Return what the model computes, in modes in which it may keep something."""
    found = []
    with torch.inference_mode():
        if isinstance(model, Samples):
            model.sample(
                1, seed=1
            )  # not compared: a rounding error may change the level of a pixel
        if isinstance(model, HasLatents):
            z = model.encode(X)
            found += [z.double(), model.decode(z).double()]
    with torch.no_grad():
        torch.manual_seed(0)
        found += [v.double() for v in model.loss(X).values()]
    return found


def build(name: str) -> GenerativeModel:
    torch.manual_seed(0)
    square = {"hidden": [32]} if name == "NICE" else {}
    model = build_small(name, SHAPE, LEVELS, **square)
    if isinstance(model, InitializesFromData):
        model.initialize(X)
    for p in model.parameters():
        p.data += 0.02 * torch.randn_like(p)
    return model.eval()


@pytest.mark.parametrize("name", gdl.models.__all__)
def test_weights_may_be_written_in_any_way(name: str) -> None:
    model = build(name)
    before = use(model)
    writes = WRITES if isinstance(model, FlowModel) else WRITES[1::3]  # flows keep most
    for write in writes:
        with torch.no_grad():
            write(model)
        found = use(model)
        fresh = build(name).to(next(model.parameters()).dtype)
        fresh.load_state_dict(copy.deepcopy(model.state_dict()))
        for ours, theirs in zip(found, use(fresh), strict=True):
            # not equal, because memory that is read in another order is summed in another order
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5, msg=write.__name__)
        if write not in (other_signs, transposed, double):
            same = all(map(torch.equal, found, before))
            assert not same, f"{write.__name__} changed nothing"
        before = found


def test_a_copy_follows_its_own_weights() -> None:
    model = build("Glow")
    use(model)
    other = copy.deepcopy(model)
    through_data(other)
    before, after = use(model), use(other)
    assert not torch.equal(before[0], after[0]) or not torch.equal(before[1], after[1])
    assert torch.equal(use(model)[1], before[1])
