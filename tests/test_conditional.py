"""Conditional models: p(x | y) is a distribution for every class, and p(x) is their mixture."""

import copy

import pytest
import torch
from small_models import build_small

from gdl.errors import GdlError

CLASSES = 3
NAMES = ["FVSBN", "NADE", "MADE", "PixelCNN", "PixelCNNpp", "Transformer"]
VARIANTS = [
    *[(name, {}) for name in NAMES],
    ("MADE", {"num_masks": 2, "order": "random"}),
    ("MADE", {"hidden": [9, 7], "order": "columns"}),
]
SHAPE, LEVELS = (1, 2, 3), 2


def build(name, options, seed=0, **more):
    """A model whose parameters are random, also those of the classes, which start at zero."""
    torch.manual_seed(seed)
    if name == "PixelCNNpp":
        more.setdefault("resolutions", 2)
    arguments = {"num_classes": CLASSES, **options, **more}
    model = build_small(name, SHAPE, LEVELS, **arguments)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5 * torch.randn_like(p))
        if model.num_classes > 1:
            model.initialize_labels(
                torch.arange(CLASSES).repeat_interleave(torch.tensor([1, 2, 5]))
            )
    return model.double().eval()


def every_image():
    values = torch.tensor(list(range(LEVELS)), dtype=torch.uint8)
    return torch.cartesian_prod(*[values] * 6).view(-1, *SHAPE)


def labels(x, y):
    return torch.full((len(x),), y)


parametrised = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=lambda v: str(v))


@parametrised
def test_each_class_sums_to_one_and_all_images_are_their_mixture(name, options):
    model, x = build(name, options), every_image()
    joint = []
    for y in range(CLASSES):
        nll = model.nll(x, labels(x, y))
        assert (-nll).exp().sum().item() == pytest.approx(1, abs=1e-9)
        joint.append(model.log_class_prior[y] - nll)
    assert joint[0].sub(joint[1]).std() > 0.1  # the label matters
    mixture = torch.stack(joint).logsumexp(0)
    torch.testing.assert_close(-model.nll(x), mixture)
    torch.testing.assert_close(-model.nll(x, labels(x, -1)), mixture)
    torch.testing.assert_close(model.loss(x)["nll"], model.nll(x))
    each = torch.stack([model.log_class_prior[y] - joint[y] for y in range(CLASSES)], 1)
    torch.testing.assert_close(model.class_nll(x), each)


@parametrised
def test_unknown_labels_among_known_ones_are_summed_over(name, options):
    model, x = build(name, options), every_image()
    y = torch.arange(len(x)) % (CLASSES + 1) - 1
    expected = torch.where(
        y < 0, model.nll(x), model.class_nll(x).gather(1, y.clamp(min=0)[:, None])[:, 0]
    )
    torch.testing.assert_close(model.loss(x, y)["nll"], expected)


@parametrised
def test_permuted_labels_are_permuted_parameters(name, options):
    model, x = build(name, options), every_image()
    order = torch.tensor([2, 0, 1])
    other = copy.deepcopy(model)
    rows = [
        n
        for n, p in model.named_parameters()
        if n.endswith("class_bias.weight") or "class_hidden" in n
    ]
    assert rows
    for n in [*rows, "log_class_prior"]:
        other.state_dict()[n].copy_(model.state_dict()[n][order])
    torch.testing.assert_close(other.class_nll(x), model.class_nll(x)[:, order])
    torch.testing.assert_close(other.nll(x), model.nll(x))


@parametrised
def test_one_class_is_the_unconditional_model(name, options):
    one, x = build(name, options, num_classes=1), every_image()
    plain = build(name, options, num_classes=0)
    state = {k: v for k, v in one.state_dict().items() if k in plain.state_dict()}
    extra = one.state_dict().keys() - state.keys()
    assert all("class_" in name for name in extra)
    plain.load_state_dict(state)
    with torch.no_grad():
        for k in extra - {"log_class_prior"}:
            one.state_dict()[k].zero_()
    assert torch.equal(one.nll(x, labels(x, 0)), plain.nll(x))
    assert torch.equal(one.nll(x), plain.nll(x))
    assert torch.equal(one.sample(5, label=0), plain.sample(5))


@pytest.mark.parametrize(
    ("name", "options"), [v for v in VARIANTS if v[0] in ("FVSBN", "NADE", "MADE")], ids=str
)
def test_biases_of_a_class_are_biases_of_the_unconditional_model(name, options):
    model, plain, x = build(name, options), build(name, options, num_classes=0), every_image()
    state = model.state_dict()
    own = {k: state.pop(k) for k in [*state] if "class_" in k}
    biases = {"class_bias.weight": "bias", "class_hidden.weight": "hidden_bias"}
    biases |= {f"class_hidden.{k}.weight": f"hidden_biases.{k}" for k in range(2)}
    for y in range(CLASSES):
        moved = {biases[k]: state[biases[k]] + v[y] for k, v in own.items() if k in biases}
        assert len(moved) == len(own) - 1, "all but p(y)"
        plain.load_state_dict(state | moved)
        torch.testing.assert_close(model.nll(x, labels(x, y)), plain.nll(x))
        assert torch.equal(model.sample(9, label=y), plain.sample(9))


@parametrised
def test_a_row_for_unknown_labels_is_the_model_of_p_x(name, options):
    model, x = build(name, options, label_dropout=0.3), every_image()
    nll = model.nll(x)
    assert (-nll).exp().sum().item() == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(model.nll(x, labels(x, -1)), nll)
    mixture = (model.log_class_prior - model.class_nll(x)).logsumexp(1)
    assert (nll + mixture).abs().max() > 0.1
    # training leaves out as many labels as it says
    model.train()
    many = x[:1].expand(4000, *SHAPE)
    given = model.nll(many, labels(many, 1))
    left_out = (given - model.nll(many[:1])).abs() < 1e-9
    assert left_out.double().mean().item() == pytest.approx(0.3, abs=0.04)


@parametrised
def test_fast_steps_draw_what_whole_passes_draw_for_every_label(name, options):
    model = build(name, options)
    y = torch.arange(12) % CLASSES
    fast = model.sample(12, label=y, seed=3)
    assert torch.equal(fast, model.sample(12, label=y, seed=3, naive=True))
    for k in range(CLASSES):
        assert torch.equal(fast[k::CLASSES], model.sample(12, label=k, seed=3)[k::CLASSES])
    assert torch.equal(model.sample(5, seed=3), model.sample(9, seed=3)[:5])
    known = torch.zeros(SHAPE, dtype=torch.bool)
    known[:, 0] = True
    given = every_image()[37]
    kinds = [{"label": 2}, {}]
    for kind in kinds:
        drawn = model.sample_given(6, given, known, seed=1, **kind)
        assert torch.equal(drawn, model.sample_given(6, given, known, seed=1, naive=True, **kind))
        assert torch.equal(drawn[:, known], given[known].expand(6, -1))


@pytest.mark.parametrize(("name", "options"), [("FVSBN", {}), ("MADE", {"num_masks": 2})], ids=str)
@pytest.mark.parametrize("label", [None, 1])
def test_samples_and_completions_have_the_frequencies_of_the_model(name, options, label):
    model, x = build(name, options), every_image()
    with torch.no_grad():
        model.class_bias.weight *= 5  # known pixels tell much of the class
    weights = 2 ** torch.arange(5, -1, -1)
    number = lambda images: (images.flatten(1).long() * weights).sum(1)  # noqa: E731
    p = (-model.nll(x) if label is None else -model.nll(x, labels(x, label))).exp()
    n = 8000
    seen = number(model.sample(n, label=label)).bincount(minlength=64) / n
    assert (seen - p).abs().sum() < 0.13
    known = torch.zeros(SHAPE, dtype=torch.bool)
    known[:, 0] = True
    assert model.known_come_first(known)
    given = x[41]
    fits = (x == given)[:, known].all(1)
    y = None if label is None else labels(x, label)
    q = model.log_prob_given(x, known, y).exp() * fits
    torch.testing.assert_close(q, p * fits / (p * fits).sum())
    seen = number(model.sample_given(n, given, known, label=label)).bincount(minlength=64) / n
    assert (seen - q).abs().sum() < 0.08


@parametrised
def test_every_class_is_causal(name, options):
    model = build(name, options)
    s = model.sequence(every_image()[[5, 5, 5]])
    y = torch.arange(CLASSES)
    before = model.params(s, y)
    for i in range(model.num_positions):
        t = s.clone()
        t[:, i] = 1 - t[:, i]
        changed = (model.params(t, y) - before).abs().amax((0, 2)) > 1e-12
        assert not changed[: i + 1].any()


@parametrised
def test_gradients_of_the_classes_are_those_of_differences(name, options):
    model, x = build(name, options), every_image()
    y = torch.arange(len(x)) % CLASSES
    own = [p for n, p in model.named_parameters() if "class_" in n]
    torch.manual_seed(1)
    directions = [torch.randn_like(p) for p in own]
    gradients = torch.autograd.grad(model.loss(x, y)["loss"].sum(), own)
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))

    def moved(step):
        with torch.no_grad():
            for p, d in zip(own, directions, strict=True):
                p.add_(step * d)
            return float(model.loss(x, y)["loss"].sum())

    after, before = moved(1e-5), moved(-2e-5)
    assert slope == pytest.approx((after - before) / 2e-5, rel=1e-5)


WRONG = [
    (lambda m: m.sample(2, label=3), "no class 3: the labels are 0 to 2"),
    (lambda m: m.sample(2, label=-2), "no class -2"),
    (lambda m: m.sample(2, label=torch.tensor([0, 1, 2])), "3 numbers for 2 samples"),
    (lambda m: m.sample(2, label=0.5), "whole numbers"),
    (lambda m: m.initialize_labels(torch.tensor([0, 5])), "the model has 3 classes"),
    (lambda m: m.initialize_labels(torch.tensor([-1])), "No training image has a label"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_wrong_labels_are_refused_in_a_sentence(call, message):
    with pytest.raises(GdlError, match=message):
        call(build("FVSBN", {}))


def test_a_model_without_labels_refuses_them():
    model, x = build("FVSBN", {}, num_classes=0), every_image()
    for call in (
        lambda: model.nll(x, labels(x, 0)),
        lambda: model.loss(x, labels(x, 0)),
        lambda: model.sample(2, label=0),
    ):
        with pytest.raises(GdlError, match=r"has no labels.*model\.conditional=true"):
            call()
    with pytest.raises(GdlError, match="samples as k=5"):
        model.nll(x, 5)
    with pytest.raises(GdlError, match="train one with"):
        model.class_nll(x)
    with pytest.raises(GdlError, match=r"model\.conditional=true too"):
        build("FVSBN", {}, num_classes=0, label_dropout=0.1)
