"""Muon with AdamW as one optimizer: what each parameter gets, schedules, checkpoints, refusals."""

import copy

import pytest
import torch
from torch import Tensor

from gdl.errors import GdlError
from gdl.models import MADE, Transformer
from gdl.training import Muon

LR = 0.02


def transformer(tokens: bool = True) -> Transformer:
    torch.manual_seed(0)
    return Transformer((1, 1, 6), 40, width=8, blocks=2, heads=2, tokens=tokens)


def optimizer_of(model: Transformer, **options) -> Muon:
    return Muon(model.parameter_groups(), LR, model.hidden_matrices(), **options)


def step(model: Transformer, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(40, (8, 1, 1, 6), generator=g).to(torch.uint8)
    optimizer.zero_grad()
    model.loss(x)["loss"].mean().backward()
    optimizer.step()


def weights(model: Transformer) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_a_hidden_matrix_moves_by_an_orthogonal_factor_as_far_as_adamw_would() -> None:
    model = transformer()
    hidden, before = model.hidden_matrices(), weights(model)
    names = {name for name, p in model.named_parameters() if any(p is h for h in hidden)}
    assert len(names) == 2 * 4
    assert not any("embedding" in n or "head" in n for n in names)
    step(model, optimizer_of(model, weight_decay=0.0))
    for name, p in model.named_parameters():
        if name in names:
            moved = (before[name] - p.detach()) / (LR * 0.2 * max(p.shape) ** 0.5)
            sizes = torch.linalg.svdvals(moved)
            assert 0.5 < sizes.max() < 1.4, name
            # most directions move equally far; the gradient's own singular values differ by far more
            assert (sizes > 0.4).float().mean() > 0.7, (name, sizes)


@pytest.mark.parametrize("fused", [False, True])
def test_all_other_parameters_move_as_adamw_moves_them(fused: bool) -> None:
    ours, theirs = transformer(), transformer()
    hidden = {*ours.hidden_matrices()}
    step(ours, optimizer_of(ours, fused=fused))
    options = {"betas": (0.9, 0.99), "weight_decay": 0.1, "fused": fused}
    step(theirs, torch.optim.AdamW(theirs.parameter_groups(), LR, **options))
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p, q) == (p not in hidden)


def test_a_schedule_changes_the_rate_of_both() -> None:
    model = transformer()
    optimizer = optimizer_of(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: float(i > 0))
    before = weights(model)
    step(model, optimizer)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    schedule.step()
    step(model, optimizer)
    assert not any(torch.equal(p, before[n]) for n, p in model.named_parameters() if p.grad.any())


def test_a_saved_optimizer_goes_on_as_if_it_had_not_stopped() -> None:
    model = transformer()
    optimizer = optimizer_of(model)
    step(model, optimizer)
    other = copy.deepcopy(model)
    resumed = optimizer_of(other)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    resumed.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"] = LR / 2
    for k in range(2):
        step(model, optimizer, 1 + k), step(other, resumed, 1 + k)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_model_of_pixels_trains_with_it_too() -> None:
    model = transformer(tokens=False)
    model.train_with(lambda p, hidden: Muon(p, LR, hidden))
    before = weights(model)
    step(model, model.configure_optimizers())
    moved = [not torch.equal(p, before[name]) for name, p in model.named_parameters()]
    assert sum(moved) > 0.8 * len(moved)


def test_a_model_without_hidden_matrices_is_refused() -> None:
    model = MADE((1, 1, 6), 2, hidden=[8])
    model.train_with(Muon)
    with pytest.raises(
        GdlError, match=r"^optimizer=muon is for models that name .*: use optimizer=adamw\.$"
    ):
        model.configure_optimizers()


def test_gradients_that_are_missing_change_nothing() -> None:
    model = transformer()
    optimizer, before = optimizer_of(model), weights(model)
    optimizer.zero_grad()
    optimizer.step()
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
