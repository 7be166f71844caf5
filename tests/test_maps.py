"""Maps of images in the plane, and planes of latents as images."""

from functools import partial
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.commands.conf import CONF, register_resolvers
from gdl.data import Digits
from gdl.errors import GdlError
from gdl.evaluation import Host
from gdl.evaluation.representations import pixels, principal_components
from gdl.models import FVSBN, MADE, NICE, VAE, Autoencoder
from gdl.nn import MLPDecoder, MLPEncoder
from gdl.plots import draw_maps
from gdl.plots.maps import _apart
from gdl.tasks import LazyImages, embed, manifold
from gdl.tasks.embedding import _Map
from gdl.training.run import build_model

SHAPE, LEVELS = (1, 8, 8), 17


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Digits:
    return Digits(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path_factory.mktemp("data")))


def autoencoder(size: int, **options: Any) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(SHAPE, LEVELS, size, **options).eval()


def vae(size: int, **options: Any) -> VAE:
    torch.manual_seed(0)
    return VAE(SHAPE, LEVELS, size, **options).eval()


# ---- the linear autoencoder

LINEAR = {
    "encoder": partial(MLPEncoder, hidden=[]),
    "decoder": partial(MLPDecoder, hidden=[]),
}


@pytest.mark.parametrize("size", [1, 2])
def test_a_linear_autoencoder_is_pca(size: int, digits: Digits) -> None:
    """No linear map does better (Eckart & Young, 1936), and a trained one gets there."""
    x = digits.images("train")
    v = pixels(x, LEVELS)
    components = principal_components(v, size)
    least = float((components.decode(components.encode(v)) - v).square().mean())
    model = autoencoder(size, **LINEAR)
    options = {"max_iter": 300, "history_size": 50, "line_search_fn": "strong_wolfe"}
    optimizer = torch.optim.LBFGS(model.parameters(), **options)

    def error() -> Tensor:
        optimizer.zero_grad()
        mse = model.loss(x)["mse"].mean()
        mse.backward()
        return mse

    optimizer.step(error)  # pyright: ignore[reportArgumentType]
    assert least * (1 - 1e-5) <= float(error().detach()) <= least * (1 + 1e-3)


RECIPES = sorted(f"maps/{path.stem}" for path in (CONF / "experiment" / "maps").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_of_a_map_has_two_latents(recipe: str, tmp_path: Path) -> None:
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [f"experiment={recipe}", f"run_dir={tmp_path}"])
    model: Any = build_model(cfg.model)
    assert model.latent_shape == (2,)
    assert model.decode(torch.zeros(1, 2)).shape == (1, *model.shape)
    linear = not any("act" in type(m).__name__.lower() for m in model.modules())
    assert ("linear" in recipe) <= linear


# ---- maps


def drawn(model: Any, data: Digits, **options: Any) -> tuple[list[Any], dict[str, float]]:
    """Return the panels that have a map, and the numbers."""
    host = options.pop("host", None) or Host(Path("nowhere"), data=lambda: data)
    options = {"points": 90, "fit": 200, "methods": ["pca"], **options}
    found = embed(model, LazyImages.of(data, "test"), host=host, **options)
    panels = [a for a in found.pop("maps").axes if a.axison]
    return panels, {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize(
    ("model", "maps"),
    [
        (partial(autoencoder, 2), ["Autoencoder, 2 latents"]),
        (partial(vae, 2), ["VAE, 2 latents"]),
        (partial(vae, 4), ["VAE, 4 latents: PCA", "VAE, 4 latents: t-SNE"]),
        (
            partial(MADE, SHAPE, LEVELS, hidden=[9]),
            ["MADE, 9 hidden units: PCA", "MADE, 9 hidden units: t-SNE"],
        ),
        (partial(vae, 2, num_classes=10), ["VAE, 2 latents given the label"]),
        (partial(vae, 2, num_classes=10, label_dropout=0.1), ["VAE, 2 latents"]),
    ],
)
def test_each_way_to_draw_a_map_has_a_panel_with_its_numbers(
    model: Any, maps: list[str], digits: Digits
) -> None:
    panels, numbers = drawn(model(), digits, methods=["pca", "tsne"])
    assert [p.get_title().partition("\n")[0] for p in panels] == ["PCA of the pixels", *maps]
    for panel in panels:
        name, _, told = panel.get_title().partition("\n")
        assert len(panel.collections[0].get_offsets()) == 90
        assert f"10-NN accuracy {numbers[f'map-{name}: 10-NN accuracy']:.3f}" in told
        assert ("(leave-one-out)" in told) == ("t-SNE" in name)
        decoded = "t-SNE" not in name and "MADE" not in name
        assert ("squared error" in told) == decoded
        assert (f"map-{name}: squared error a pixel" in numbers) == decoded
    labels = [t.get_text() for t in panels[0].figure.legends[0].get_texts()]
    assert labels == [str(c) for c in range(10)]


def test_a_map_has_the_error_of_what_is_decoded_from_it(digits: Digits) -> None:
    """With two latents that of the run itself; no map through a plane is better than PCA's own."""
    model = autoencoder(2)
    _, numbers = drawn(model, digits, points=10_000, fit=None)
    x = digits.images("test")
    with torch.no_grad():
        error = (model.reconstruct(x) - x).square().mean() / (LEVELS - 1) ** 2
    own = numbers["map-Autoencoder, 2 latents: squared error a pixel"]
    assert own == pytest.approx(float(error), rel=1e-4)
    assert numbers["map-PCA of the pixels: squared error a pixel"] == pytest.approx(
        0.0524, abs=1e-3
    )
    assert numbers["map-PCA of the pixels: 10-NN accuracy"] == pytest.approx(0.56, abs=0.06)


def test_neighbours_in_a_map_of_its_own_images_are_the_others() -> None:
    torch.manual_seed(0)
    points, y = torch.randn(400, 2), torch.randint(10, (400,))
    assert _Map("m", points, points).accuracy(y, y, 1) == 1
    assert _Map("m", points).accuracy(y, y, 1) < 0.2
    apart = points + 100 * torch.stack([y, y], 1)
    assert _Map("m", apart).accuracy(y, y, 5) == 1
    y[::2] = -1  # of some images the class is not known
    assert _Map("m", apart).accuracy(y, y, 5) == 1


class Unlabelled(Digits):
    """Digits whose classes nobody knows."""

    def labels(self, split: str) -> None:
        return None


def test_images_without_labels_have_one_colour_and_no_accuracy(tmp_path: Path) -> None:
    data = Unlabelled(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path))
    panels, numbers = drawn(vae(4), data, thumbnails=True)
    assert all("accuracy" not in name for name in numbers)
    assert len(numbers) == 2
    for panel in panels:
        assert len(panel.collections[0].get_facecolors()) == 1
        assert not panel.figure.legends


def test_other_runs_stand_beside_this_one_if_they_are_on_its_images(digits: Digits) -> None:
    open_run = {"a/b": (autoencoder(2), digits), "a/c": (vae(2), digits)}
    host = Host(Path("nowhere"), data=lambda: digits, open_run_and_data=open_run.__getitem__)
    panels, _ = drawn(autoencoder(2), digits, runs=[*open_run], host=host)
    names = [p.get_title().partition("\n")[0] for p in panels]
    assert names[1:] == [
        "Autoencoder (this run), 2 latents",
        "Autoencoder (b), 2 latents",
        "VAE, 2 latents",
    ]
    other = Digits(shape=SHAPE, levels=LEVELS, data_dir=digits.data_dir, mutation=0.1)
    open_run["a/c"] = (vae(2), other)
    with pytest.raises(GdlError, match="VAE on other images than this run: name runs on the same"):
        drawn(autoencoder(2), digits, runs=["a/c"], host=host)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (partial(FVSBN, SHAPE, LEVELS), {}, "which FVSBN lacks: use a run of model=ae"),
        (partial(NICE, (2,), None, hidden=[8]), {}, "this run is on vectors: use data="),
        (partial(vae, 1), {}, r"VAE, 1 latents, is a line: use .*model\.latent_dim=2"),
        (partial(vae, 2), {"methods": ["isomap"]}, "'isomap': use some of pca, tsne, umap"),
        (partial(vae, 2), {"points": 0}, r"task\.points must be a whole number of at least 1"),
        (partial(vae, 2), {"fit": 2.5}, r"task\.fit must be a whole number of at least 1"),
        (partial(vae, 2), {"k": "ten"}, r"task\.k must be a whole number of at least 1"),
        (partial(vae, 2), {"runs": ["x"]}, "asks for the run x"),
    ],
)
def test_what_cannot_be_mapped_is_told(
    model: Any, options: dict[str, Any], message: str, digits: Digits
) -> None:
    with pytest.raises(GdlError, match=message):
        drawn(model(), digits, **options)


def test_a_method_that_is_not_installed_is_left_out_unless_it_is_asked_for(
    digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    panels, _ = drawn(vae(4), digits, methods=None)
    assert [p.get_title().partition("\n")[0][-5:] for p in panels[1:]] == [": PCA", "t-SNE"]
    with pytest.raises(GdlError, match="pip install umap-learn"):
        drawn(vae(4), digits, methods=["umap"])


@pytest.mark.parametrize("count", [3, 12, 30, 60])
def test_classes_have_colours_of_their_own_and_a_legend_while_it_can_be_read(count: int) -> None:
    y = torch.arange(count).repeat(3)
    y[0] = -1
    names = [f"class {c}" for c in range(count)]
    figure = draw_maps({"m": torch.randn(len(y), 2)}, y, names)
    colours = figure.axes[0].collections[0].get_facecolors()
    assert len({tuple(c) for c in colours.tolist()}) == count + 1
    told = [t.get_text() for legend in figure.legends for t in legend.get_texts()]
    assert told == ([*names, "unknown"] if count <= 40 else [])


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 6, 9), (2, 1, 40)])
def test_thumbnails_do_not_overlap(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    places = torch.rand(500, 2) * 1.2 - 0.1
    chosen = places[_apart(places, 0.05)]
    inside = chosen.clamp(0.025, 0.975)
    apart = (inside[:, None] - inside[None]).abs().amax(-1) + torch.eye(len(chosen))
    assert 100 < len(chosen) <= 400
    assert apart.min() >= 0.05
    assert ((chosen >= 0) & (chosen <= 1)).all()
    figure = draw_maps({"m": places}, None, [], torch.rand(500, *shape))
    sheet = figure.axes[0].images[0].get_array()
    assert 0.02 < float((sheet[..., 3] > 0).mean()) < 1


# ---- planes of latents


class Plane(VAE):
    """Decodes latents to images that show them."""

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        image = torch.zeros(len(z), *SHAPE)
        image[:, 0, 0, : z.shape[1]] = z
        image[:, 0, 1, 0] = -1 if y is None else y
        return image


def plane(size: int, x: Tensor | LazyImages, model: Any = Plane, **options: Any) -> Any:
    torch.manual_seed(0)
    of_model = {k: options.pop(k) for k in ("num_classes", "label_dropout") if k in options}
    built = model(SHAPE, LEVELS, size, **of_model).eval()
    return manifold(built, x, **options)["manifold"]


def test_a_plane_goes_through_the_quantiles_of_the_prior(digits: Digits) -> None:
    picture = plane(2, digits.images("test"), side=5, tail=0.1)
    p = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    q = torch.special.ndtri(p).float()
    torch.testing.assert_close(picture.images[0, :, 0, 0, 0], q)
    torch.testing.assert_close(picture.images[:, 0, 0, 0, 1], q.flip(0))
    assert picture.images.shape == (5, 5, *SHAPE)
    assert list(picture.columns) == [f"{v:.2f}" for v in q.tolist()]
    assert list(picture.rows) == [*picture.columns][::-1]
    assert picture.title.startswith("Plane: z0 to the right, z1 upwards")


@torch.no_grad()
def test_a_plane_without_a_prior_goes_through_the_quantiles_of_the_codes(digits: Digits) -> None:
    x = digits.images("test")
    model = autoencoder(2)
    picture = manifold(model, x, side=3, tail=0.25)["manifold"]
    q = model.encode(x).quantile(torch.tensor([0.25, 0.5, 0.75]), 0)
    expected = model.decode(torch.stack([q[0, 0], q[2, 1]])[None])
    torch.testing.assert_close(picture.images[0, 0], expected[0], rtol=1e-4, atol=1e-4)
    assert "codes of test images" in picture.title


@torch.no_grad()
def test_of_more_latents_two_move_and_the_others_stay(digits: Digits) -> None:
    x = digits.images("test")
    picture = plane(4, x, units=[3, 1], index=2, side=2, tail=0.1)
    torch.manual_seed(0)
    start = Plane(SHAPE, LEVELS, 4).eval().encode(x[2:3])[0]
    shown = picture.images[..., 0, 0, :4]
    for unit in (0, 2):
        torch.testing.assert_close(shown[..., unit], start[unit].expand(2, 2))
    assert shown[0, 0, 3] < shown[0, 1, 3]
    assert shown[0, 0, 1] > shown[1, 0, 1]
    assert "the other 2 are those of test image 2" in picture.title
    picture = plane(4, x, side=2)
    torch.manual_seed(0)
    most = Plane(SHAPE, LEVELS, 4).eval().encode(x).var(0).topk(2).indices.sort().values
    moved = (picture.images[..., 0, 0, :4].flatten(0, 1) != 0).all(0).nonzero().flatten()
    assert moved.tolist() == most.tolist()


def test_a_plane_of_a_conditional_model_is_of_one_class(digits: Digits) -> None:
    x = LazyImages.of(digits, "test")
    labels = digits.labels("test")
    assert labels is not None
    conditional = partial(plane, 2, x, num_classes=10, side=2)
    label = lambda picture: picture.images[..., 0, 1, 0].unique().tolist()  # noqa: E731
    assert label(conditional(label=7)) == [7]
    assert label(conditional(index=3)) == [int(labels[3])]
    assert label(conditional(label_dropout=0.1)) == [-1]
    with pytest.raises(GdlError, match=r"set task\.label to the class to show, or task\.index"):
        conditional()


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (1, {}, r"this run has one: use a run with model\.latent_dim=2"),
        (2, {"side": 0}, r"task\.side must be a whole number of at least 1"),
        (2, {"tail": 0.5}, r"task\.tail=0\.5 is no share"),
        (2, {"index": 1000}, r"task\.index=1000 is no test image: the last one is 296"),
        (2, {"units": [0, 2]}, r"task\.units=\[0, 2\] are no two latents: use two of 0 to 1"),
        (3, {"units": [1, 1]}, "are no two latents"),
        (3, {"units": [0, 1, 2]}, "are no two latents"),
        (3, {"units": [0, 1.5]}, "are no two latents"),
    ],
)
def test_what_is_no_plane_is_told(
    size: int, options: dict[str, Any], message: str, digits: Digits
) -> None:
    with pytest.raises(GdlError, match=message):
        plane(size, digits.images("test"), **options)


def test_a_model_without_latents_has_no_plane(digits: Digits) -> None:
    with pytest.raises(Incapable, match="task=manifold asks for latents, which MADE lacks"):
        manifold(MADE(SHAPE, LEVELS, hidden=[9]), digits.images("test"))


@pytest.mark.parametrize("far", [False, True])
def test_a_few_points_far_away_do_not_press_the_others_together(far: bool) -> None:
    torch.manual_seed(0)
    points = torch.rand(1000, 2)
    points[0] = 500.0 if far else 1.2
    axes = draw_maps({"m": points}, None, []).axes[0]
    right = axes.get_xlim()[1]
    assert (1.2 < right < 1.4) if not far else (0.9 < right < 1.1)
