"""Restored images: their numbers, the tables of these, pictures, and images of the user's own."""

import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from PIL import Image
from test_results import make_run
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from gdl import tasks
from gdl.commands.conf import CONF
from gdl.comparison.entries import read_runs
from gdl.comparison.restoration import restoration_tables
from gdl.comparison.results import add_records, render
from gdl.comparison.terminal import print_tables
from gdl.corruptions import (
    Corruption,
    Downsample,
    GaussianNoise,
    Grayscale,
    MissingPatch,
    MissingPixels,
    Seen,
    compose,
)
from gdl.data import Digits
from gdl.errors import GdlError
from gdl.evaluation import Host, restoration
from gdl.models import MADE, VAE, DenoisingAutoencoder
from gdl.restoration import benchmark
from gdl.restoration.asked import empty
from gdl.restoration.choice import restorer_for
from gdl.restoration.protocol import DATA
from gdl.restoration.quality import MAX_PSNR, colourfulness, has_ssim, psnr, ssim_map
from gdl.restoration.scoring import label_of, on_seen, score
from gdl.restoration.tiles import Tiled
from gdl.restored_numbers import NUMBERS, restored, verdict
from gdl.runs.directory import Run
from gdl.runs.report import print_results

SHAPE, LEVELS = (1, 8, 8), 17


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Digits:
    return Digits(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path_factory.mktemp("data")))


def model_of(corruption: Corruption, shape: tuple[int, ...] = SHAPE) -> DenoisingAutoencoder:
    torch.manual_seed(0)
    return DenoisingAutoencoder(shape, LEVELS, corruption).eval()


class Answers:
    """A restorer that returns fixed images, or several draws of them."""

    def __init__(self, *draws: Tensor) -> None:
        self.draws = torch.stack(draws)

    def __call__(self, seen: Seen, *, draws: int = 1, seed: int = 0, indices=None) -> Tensor:
        assert indices is not None
        return self.draws[:draws, [*indices]]


# ---- one number of an image


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 14), (1, 6, 6)])
def test_psnr_and_ssim_are_those_of_torchmetrics(shape: tuple[int, ...]) -> None:
    x, y = torch.rand(4, *shape), torch.rand(4, *shape)
    options: Any = {"reduction": "none", "data_range": 1.0}
    expected = peak_signal_noise_ratio(y, x, dim=(1, 2, 3), **options)
    torch.testing.assert_close(psnr(y, x), expected.double(), atol=1e-4, rtol=0)
    expected = structural_similarity_index_measure(y, x, sigma=1.5, kernel_size=11, **options)
    torch.testing.assert_close(ssim_map(y, x).flatten(1).mean(1), expected)
    assert has_ssim(shape)
    assert not has_ssim((1, 5, 28))


def test_psnr_counts_the_pixels_of_a_mask_only() -> None:
    x = torch.zeros(3, 1, 4, 4)
    where = torch.zeros_like(x, dtype=torch.bool)
    where[0, 0, 0, :2] = where[1] = True
    y = torch.where(where, 0.1, 0.9)
    found = psnr(y, x, where)
    torch.testing.assert_close(found[:2], torch.full((2,), 20.0).double())
    assert found[2].isnan(), "no pixel counts"
    assert psnr(x, x).tolist() == [MAX_PSNR] * 3


def test_colourfulness_is_the_formula_of_the_paper() -> None:
    x = torch.rand(2, 3, 5, 5)
    assert colourfulness(x[:, :1].expand(-1, 3, -1, -1)).tolist() == [0, 0]
    r, g, b = (255 * x[0]).numpy()
    rg, yb = r - g, 0.5 * (r + g) - b
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert float(colourfulness(x)[0]) == pytest.approx(expected, rel=1e-4)


# ---- numbers of a set


def test_numbers_are_means_over_images_with_their_errors() -> None:
    x = torch.randint(LEVELS, (7, 3, 8, 8))
    clean = x.float() / (LEVELS - 1)
    near, far = clean * 0.95, clean * 0.8
    corruption = MissingPatch(4)
    methods = {"model": Answers(near), "pca": Answers(far), "mean_fill": Answers(far * 0)}
    found = score(methods, x, LEVELS, corruption, batch_size=3).metrics()
    prefix = "restoration-missing_patch-size=4-place=centre"
    values = psnr(near, clean)
    assert found[f"{prefix}/model/psnr"] == pytest.approx(float(values.mean()))
    assert found[f"{prefix}/model/psnr_se"] == pytest.approx(float(values.std()) / math.sqrt(7))
    hole = on_seen(corruption, clean).hole_pixels
    inside = (near - clean)[hole].view(7, -1).square().mean(1)
    expected = float((-10 * inside.double().log10()).mean())
    assert found[f"{prefix}/model/hole_psnr"] == pytest.approx(expected)
    inside = ssim_map(near, clean)[hole].view(7, -1).mean(1)
    assert found[f"{prefix}/model/hole_ssim"] == pytest.approx(float(inside.mean()), abs=1e-5)
    gain = psnr(near, clean) - psnr(far, clean)
    assert found[f"{prefix}/model/gain"] == pytest.approx(float(gain.mean()))
    assert found[f"{prefix}/model/gain_se"] == pytest.approx(float(gain.std()) / math.sqrt(7))
    assert {k.split("/")[2].removesuffix("_se") for k in found} <= {*NUMBERS, "gain"}


def test_a_model_that_draws_is_judged_by_the_mean_of_its_draws() -> None:
    x = torch.randint(LEVELS, (5, 1, 8, 8))
    clean = x.float() / (LEVELS - 1)
    a, b = clean + 0.2, clean - 0.1
    found = score({"model": Answers(a, b)}, x, LEVELS, GaussianNoise(), draws=2).metrics()
    (methods,) = restored(found).values()
    assert methods["model"]["psnr"] == pytest.approx(-20 * math.log10(0.05), abs=1e-4)
    assert methods["draw"]["psnr"] == pytest.approx(-20 * math.log10(0.2), abs=1e-4)
    assert methods["best_of_2"]["psnr"] == pytest.approx(20, abs=1e-4)
    assert methods["model"]["diversity"] == pytest.approx(0.3 / math.sqrt(2), abs=1e-5)
    same = score({"model": Answers(a, a)}, x, LEVELS, GaussianNoise(), draws=2).metrics()
    assert [*restored(same).popitem()[1]] == ["model"], "it does not draw"


def test_a_restored_image_is_compared_with_what_is_left() -> None:
    x = torch.randint(LEVELS, (4, 1, 8, 8))
    clean = x.float() / (LEVELS - 1)
    found = score({"model": Answers(clean + 0.25)}, x, LEVELS, Downsample()).metrics()
    key = "restoration-downsample-factor=2-method=area/model/consistency_error"
    assert found[key] == pytest.approx(0.25)
    colours = torch.randint(LEVELS, (4, 3, 8, 8))
    grey = colours.float().mean(1, keepdim=True).expand(-1, 3, -1, -1) / (LEVELS - 1)
    found = score({"model": Answers(grey)}, colours, LEVELS, Grayscale()).metrics()
    assert found["restoration-grayscale/model/colourfulness"] == pytest.approx(0, abs=1e-3)
    assert found["restoration-grayscale/original/colourfulness"] > 10


def test_test_images_lose_the_same_in_every_batch() -> None:
    x = torch.rand(10, 1, 8, 8)
    for corruption in (GaussianNoise(), MissingPixels(), MissingPatch(3, "random")):
        whole, part = on_seen(corruption, x), on_seen(corruption, x[4:7], 4)
        assert torch.equal(whole.y[4:7], part.y)


def test_labels_of_corruptions_tell_their_options_apart() -> None:
    every = [
        GaussianNoise(0.1),
        GaussianNoise(0.5),
        Downsample(2),
        Downsample(4),
        MissingPatch(),
        MissingPatch(14),
        compose([Downsample(2), GaussianNoise(0.1)]),
        compose([GaussianNoise(0.1), Downsample(2)]),
    ]
    labels = [label_of(c) for c in every]
    assert len(set(labels)) == len(every)
    assert all(re.fullmatch(r"[\w=.+-]+", label) for label in labels), "of keys and files"


# ---- the measure


def test_the_measure_writes_numbers_and_a_picture(
    digits: Digits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, host = model_of(MissingPatch(4)), Host(tmp_path)
    found = restoration(model, digits, host, limit=20, pictures=3, batch_size=7)
    again = restoration(model, digits, Host(tmp_path), limit=20, batch_size=20)
    for key, value in found.items():
        assert value == pytest.approx(again[key], abs=1e-3), key
    (methods,) = restored(found).values()
    assert set(methods) == {"model", "identity", "mean_fill", "harmonic_fill", "pca"}
    assert "count" in methods["pca"], "what was chosen is told"
    (file,) = host.written
    assert Image.open(file).size[1] > 6 * 8
    print_results({"model": "denoising_ae", "data": "digits", **found})
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if " ± " in line]
    values = [float(re.findall(r"(\S+) ± ", line)[0]) for line in lines]
    assert values == sorted(values, reverse=True), "the best comes first"
    assert max(map(len, out.splitlines())) <= 80
    assert "warning: The model does not beat all baselines: PCA posterior mean is better" in err


def test_a_density_draws_and_is_judged(
    digits: Digits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    model = MADE(SHAPE, LEVELS, hidden=[20]).eval()
    lost = {"patch": MissingPatch(3)}
    options: dict[str, Any] = {"corruption": lost, "draws": 3, "limit": 4, "pictures": 2}
    found = restoration(model, digits, Host(tmp_path), **options)
    ((_, methods),) = restored(found).items()
    assert {"model", "draw", "best_of_3", "harmonic_fill", "pca"} <= set(methods)
    assert methods["best_of_3"]["psnr"] >= methods["draw"]["psnr"]
    assert methods["model"]["diversity"] > 0
    again = restoration(model, digits, Host(tmp_path), **options, batch_size=3)
    assert again == pytest.approx(found, abs=1e-3)
    (picture,) = tasks.restore(model, digits.images("test"), lost, n=2, draws=3).values()
    names = ["original", "what is left", "draw 1", "draw 2", "draw 3", "mean"]
    assert [*picture.columns] == names
    assert capsys.readouterr().out.count("note: ") == 3


def test_bits_of_unknown_pixels_are_the_densitys(digits: Digits, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MADE(SHAPE, LEVELS, hidden=[16]).eval()
    ask = partial(restoration, model, digits, Host(tmp_path), draws=1, limit=5)
    centre = ask({"missing_patch": MissingPatch(4)})
    assert not any("/bits-" in key for key in centre), "an estimate has to be asked for"
    assert any("/bits-particles-4" in key for key in ask({"p": MissingPatch(4)}, bits_samples=4))
    model.known_come_first = lambda known: True  # type: ignore[method-assign]
    found = ask({"missing_patch": MissingPatch(4)})
    (key,) = (key for key in found if key.endswith("/bits-exact"))
    x = digits.images("test")[:5]
    known = on_seen(MissingPatch(4), x / 16).known_pixels
    nats = -model.log_prob_given(x, known).mean().detach()
    assert found[key] == pytest.approx(float(nats) / 16 / math.log(2), rel=1e-5)


def test_other_runs_are_in_one_picture(digits: Digits, tmp_path: Path) -> None:
    torch.manual_seed(0)
    corruption = MissingPatch(4)
    others = {
        "vae": VAE(SHAPE, LEVELS, 2).eval(),
        "net": model_of(corruption),
        "small": VAE((1, 4, 4), LEVELS, 2).eval(),
    }
    host = Host(tmp_path, open_run=others.__getitem__)
    made = MADE(SHAPE, LEVELS, hidden=[16]).eval()
    ask = partial(restoration, made, digits, host, {"p": corruption}, draws=2, limit=3)
    ask(runs=["vae", "net"])
    assert [p.name for p in host.written] == [
        "restoration-missing_patch-size=4-place=centre.png",
        "restoration-missing_patch-size=4-place=centre-runs.png",
    ]
    assert all(p.stat().st_size > 1000 for p in host.written)
    with pytest.raises(GdlError, match="name runs on the same data"):
        ask(runs=["small"])


def test_a_model_is_told_whether_it_beats_all_baselines() -> None:
    methods = {
        "model": {"psnr": 20.0, "gain_se": 0.01},
        "pca": {"psnr": 19.5},
        "draw": {"psnr": 30},
    }
    won, sentence = verdict(methods) or (False, "")
    assert won
    assert "PCA posterior mean, by 0.50 ± 0.01 dB" in sentence
    won, sentence = verdict({"model": {"psnr": 19.0}, "pca": {"psnr": 19.5}}) or (True, "")
    assert not won
    assert "better by 0.50 dB" in sentence
    assert verdict({"model": {"psnr": 19.0}}) is None


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        (GaussianNoise(), MissingPatch(3)),
        (Downsample(2), Downsample(4)),
        (Downsample(2), Downsample(2, "subsample")),
        (GaussianNoise(), compose([GaussianNoise(), Downsample(2)])),
    ],
)
def test_another_corruption_than_that_of_the_training_is_refused(
    own: Corruption, asked: Corruption, digits: Digits, tmp_path: Path
) -> None:
    with pytest.raises(GdlError, match=r"was trained on .* leave out corruption="):
        restoration(model_of(own), digits, Host(tmp_path), {"a": asked}, limit=5)


def test_other_noise_than_in_the_training_is_measured(digits: Digits, tmp_path: Path) -> None:
    model = model_of(GaussianNoise(0.5))
    found = restoration(model, digits, Host(tmp_path), {"a": GaussianNoise(0.1)}, limit=5)
    assert {k.partition("/")[0] for k in found} == {"restoration-gaussian_noise-sigma=0.1"}


# ---- tables of many runs


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    known = {"data/shape": [1, 2, 2], "data/levels": 4, "data/train": 5, "data/val": 2}
    known |= {"data/test": 3, "test/images": 3, "data": "d", "data/digest": 64 * "a"}
    for name, value in (("a", 21.25), ("b", 18.5), ("c", None)):
        run = Run(make_run(tmp_path / "runs" / name, "abcdef123456"))
        prefix = "restoration-downsample-factor=2"
        numbers = {"model/psnr": value, "model/psnr_se": 0.01, "model/ssim": 0.9}
        numbers |= {"gaussian/psnr": 19.5, "gaussian/width": 0.8, "gaussian/ssim": 0.8}
        found = {f"{prefix}/{k}": v for k, v in numbers.items()} if value else {}
        run.merge_metrics({"model": f"m{name}", **known, **found})
    return tmp_path / "runs"


def test_compare_shows_all_runs_and_the_baselines_once(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (table,) = restoration_tables(read_runs([runs])[0])
    assert [row[1] for row in table.rows] == ["ma", "Gaussian filter (width 0.8)", "mb"]
    assert [row[2] for row in table.rows] == ["21.25 ± 0.01", "19.50", "18.50 ± 0.01"]
    print_tables([table])
    out = capsys.readouterr().out
    assert "restoration of downsample-factor=2" in out
    assert "over the seeds" not in out


def test_records_of_runs_give_a_table_of_results(runs: Path, tmp_path: Path) -> None:
    add_records(read_runs([runs])[0], tmp_path / "results")
    text = render(tmp_path / "results")
    assert text.count("### d: restoration of downsample-factor=2") == 1
    lines = [line for line in text.partition("### d: restoration")[2].splitlines() if "|" in line]
    assert re.match(r"\| method \| PSNR, dB \| SSIM \| minutes \| command \|", lines[0])
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:5]] == [
        "ma",
        "Gaussian filter (width 0.8)",
        "mb",
    ]


# ---- images of any size


class Pointwise:
    """A restorer that treats every pixel by itself, whose answer is therefore known for any size."""

    def __call__(self, seen: Seen, *, draws: int = 1, seed: int = 0, indices=None) -> Tensor:
        assert seen.known_pixels.shape == seen.image.shape == seen.hole_pixels.shape
        return (seen.image.square() + 0.1 * seen.known_pixels - 0.2 * seen.hole_pixels)[None]


@pytest.mark.parametrize("size", [(8, 8), (9, 21), (3, 5), (4, 30), (40, 40)])
@pytest.mark.parametrize(
    "corruption",
    [
        GaussianNoise(),
        MissingPixels(),
        Grayscale(1),
        Downsample(2),
        Downsample(2, "subsample"),
        compose([Downsample(2), GaussianNoise()]),
    ],
    ids=label_of,
)
def test_tiles_make_one_image(corruption: Corruption, size: tuple[int, int]) -> None:
    height, width = (side - side % 2 if "downsample" in corruption.name else side for side in size)
    seen = on_seen(corruption, torch.rand(2, 3, height, width))
    tiled = Tiled(Pointwise(), corruption, (3, 8, 8))(seen)
    torch.testing.assert_close(tiled, Pointwise()(seen))


@pytest.mark.parametrize("network", ["any size", "one size"])
def test_own_images_keep_their_size(network: str, tmp_path: Path) -> None:
    model = model_of(GaussianNoise(0.1))
    if network == "one size":
        model.__class__ = type("Other", (type(model),), {"takes_any_size": False})
    pixels = np.random.default_rng(0).integers(0, 256, (13, 22, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[:5, :6, 0]).save(tmp_path / "b.png")
    files = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    found = tasks.restore(model, torch.zeros(0, *SHAPE), images=files)
    assert found["restored-a"].images.shape == (1, 1, 1, 13, 22)
    assert found["restored-b"].images.shape == (1, 1, 1, 5, 6)
    assert found["restored-a-beside"].images.shape == (1, 3, 1, 13, 22)
    assert [*found["restored-a-beside"].columns] == ["original", "what is left", "restored"]


def test_a_picture_is_enlarged_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model_of(Downsample(2), (3, 8, 8))
    pixels = np.full((7, 10), 128, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    file = [str(tmp_path / "a.png")]
    found = tasks.restore(model, torch.zeros(0, 3, 8, 8), images=file, degrade=False)
    assert found["restored-a"].images.shape == (1, 1, 3, 14, 20)
    torch.testing.assert_close(found["restored-a"].images, torch.full((1, 1, 3, 14, 20), 8.0))
    assert "a.png is grey: it is read as equal red, green and blue" in capsys.readouterr().out
    tasks.restore(model, torch.zeros(0, 3, 8, 8), images=file)
    assert "cropped to 10x6 pixels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": ["none.png"]}, "none.png cannot be read as an image"),
        ({"images": ["text.png"]}, "text.png cannot be read as an image"),
        ({"images": ["good.png"], "degrade": False}, "does not say which pixels are missing"),
        ({"degrade": False}, "is for your own images"),
        ({"n": 0}, "task.n must be a whole number of at least 1"),
        ({"draws": 1.5}, "task.draws must be a whole number of at least 1"),
    ],
)
def test_bad_options_are_told(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.png").write_text("no picture")
    Image.new("L", (8, 8)).save("good.png")
    with pytest.raises(GdlError, match=message):
        tasks.restore(model_of(MissingPatch(3)), torch.zeros(4, *SHAPE), **options)


def test_the_task_shows_what_the_measure_judges(digits: Digits) -> None:
    x = digits.images("test")
    model = model_of(GaussianNoise(0.2))
    (picture,) = tasks.restore(model, x, n=3).values()
    clean = x[:3].float() / (LEVELS - 1)
    seen = on_seen(model.corruption, clean)
    assert picture.images.shape == (3, 3, *SHAPE)
    torch.testing.assert_close(picture.images[:, 0], x[:3].float())
    torch.testing.assert_close(picture.images[:, 1], seen.y.clamp(0, 1) * (LEVELS - 1))
    torch.testing.assert_close(picture.images[:, 2], model.restore(seen) * (LEVELS - 1))
    before = float(psnr(seen.image, clean)[0])
    assert picture.rows[0].startswith(f"{before:.1f} → ")


def test_an_empty_image_has_the_sizes_of_a_real_one() -> None:
    for corruption in (Downsample(2), Grayscale(), GaussianNoise()):
        real = on_seen(corruption, torch.rand(2, 3, 8, 8))
        blank = empty(corruption, (3, 8, 8))
        assert blank.y.shape[1:] == real.y.shape[1:]
        assert replace(blank, y=real.y, known=real.known).image.shape == (2, 3, 8, 8)


# ---- the benchmark


def test_a_function_of_anybody_is_judged_beside_the_baselines(digits: Digits) -> None:
    def mine(seen: Seen) -> Tensor:
        return seen.image.clamp(0, 1)

    found = benchmark(mine, GaussianNoise(0.5), digits, limit=20)
    ((_, methods),) = restored(found.metrics).items()
    assert methods["model"]["psnr"] == methods["clipping"]["psnr"]
    text = str(found)
    assert text.startswith("Digits, 20 test images, gaussian_noise-sigma=0.5\nmethod")
    assert text.splitlines()[2].startswith("PCA posterior mean (count ")
    assert "does not beat all baselines" in text
    alone = benchmark(None, GaussianNoise(0.5), digits, limit=20)
    assert "does not beat" not in str(alone)
    assert len(alone.rows()) == len(found.rows()) - 1
    draws = benchmark(
        restorer_for(model_of(GaussianNoise()), GaussianNoise()), GaussianNoise(), digits
    )
    assert draws.images == 297


def test_a_restorer_or_data_that_do_not_fit_are_told(digits: Digits) -> None:
    with pytest.raises(GdlError, match="The restorer returned images of shape"):
        benchmark(lambda seen: seen.y, Downsample(), digits, limit=5)
    with pytest.raises(GdlError, match="data='nonsense' does not exist here: use one of mnist"):
        benchmark(None, GaussianNoise(), "nonsense")


@pytest.mark.parametrize("name", DATA)
def test_data_of_the_benchmark_are_those_of_the_commands(name: str) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        node: Any = hydra.compose("train", [f"data={name}"]).data
    kind, arguments = DATA[name]
    assert node["_target_"] == f"gdl.data.{kind}"
    assert [*arguments["shape"]] == [*node["shape"]]
    assert arguments["levels"] == (256 if name == "cifar10" else node["levels"])
    assert arguments.get("source", "mnist") == node.get("source", "mnist")
