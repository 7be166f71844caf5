"""Scores of foreign images against their formulas, on models whose density is known."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.coding import code_lengths
from gdl.data import Digits
from gdl.data.base import ImageData, Split
from gdl.errors import GdlError
from gdl.evaluation import Host, ood, outliers, scores
from gdl.evaluation.outliers import SYNTHETIC, Images, Setting, fitted
from gdl.evaluation.outliers.scoring import training_sample
from gdl.families.base import GenerativeModel

SHAPE, LEVELS, P = (1, 4, 4), 17, 0.7


class Dark(GenerativeModel):
    """Independent pixels: 0 with probability P, else uniform on the others; its density is known."""

    def __init__(self, shape: Any = SHAPE, levels: int | None = LEVELS) -> None:
        super().__init__(shape, levels)
        self.register_buffer("calls", torch.zeros(()))

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        dark = (x == 0).flatten(1).sum(1)
        bright = self.num_dims - dark
        nll = -dark * math.log(P) - bright * math.log((1 - P) / (LEVELS - 1))
        return {"loss": nll, "nll": nll}


def draw(n: int, seed: int, p: float = P, levels: int = LEVELS) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(1, levels, (n, *SHAPE), generator=g)
    return torch.where(torch.rand(n, *SHAPE, generator=g) < p, 0, x).to(torch.uint8)


class Drawn(ImageData):
    """Images of `Dark`, or of another probability of a dark pixel."""

    def __init__(self, p: float = P, n: int = 60, **kwargs: Any) -> None:
        super().__init__(**{"shape": SHAPE, "levels": LEVELS, **kwargs})
        self.p, self.n = p, n

    def load(self) -> dict[str, Split]:
        parts = {"train": 2 * self.n, "val": self.n, "test": self.n}
        sizes = enumerate(parts.items())
        return {name: (draw(n, i, self.p, self.levels or 2), None) for i, (name, n) in sizes}


SETTING = Setting(lambda run: Dark(), batch_size=7)
ALL = {
    "likelihood": outliers.likelihood,
    "complexity": outliers.complexity,
    "typicality": outliers.typicality,
}


def images(x: Tensor, model: GenerativeModel | None = None) -> Images:
    return Images(model or Dark(), x, SETTING, "images")


def exact(x: Tensor) -> Tensor:
    return Dark().loss(x)["nll"].double()


# ---- formulas


def test_scores_are_their_formulas() -> None:
    x, train = images(draw(30, 1)), images(draw(50, 2))
    assert torch.allclose(outliers.likelihood(x, train), exact(x.x))
    lengths = torch.stack(list(code_lengths(x.x, LEVELS).values()))
    bits = 8 * lengths.min(0).values
    assert torch.allclose(outliers.complexity(x, train), exact(x.x) - bits * math.log(2))
    mean = exact(train.x).mean()
    assert torch.allclose(outliers.typicality(x, train), (exact(x.x) - mean).abs())


def test_typicality_of_groups_is_that_of_their_means() -> None:
    x, train = images(draw(31, 1)), images(draw(50, 2))
    found = outliers.typicality(x, train, n=5)
    assert found.shape == (6,)
    assert torch.equal(found, outliers.typicality(x, train, n=5)), "the seed alone decides"
    one = images(x.x[:10])
    whole = outliers.typicality(one, train, n=10)
    assert float(whole) == pytest.approx(abs(float(exact(one.x).mean() - exact(train.x).mean())))
    with pytest.raises(Incapable, match="asks for 32 images at least, and there are 31"):
        outliers.typicality(x, train, n=32)
    with pytest.raises(GdlError, match="n of typicality must be a whole number"):
        outliers.typicality(x, train, n=0)


@pytest.mark.parametrize(
    ("score", "foreign"),
    [
        ("likelihood", draw(40, 5, p=0.2)),  # brighter, less likely
        ("typicality", draw(40, 5, p=0.2)),
        ("typicality", draw(40, 5, p=1.0)),  # too likely to be typical
        ("complexity", torch.full((40, *SHAPE), 3, dtype=torch.uint8)),
    ],
)
def test_higher_is_more_foreign(score: str, foreign: Tensor) -> None:
    own, train = images(draw(40, 3)), images(draw(80, 4))
    f = ALL[score]
    ranks = torch.cat([f(own, train), f(images(foreign), train)])
    assert roc_auc_score([0] * 40 + [1] * 40, ranks) > 0.95


def test_what_several_scores_need_is_computed_once() -> None:
    x = images(draw(20, 1))
    for f in ALL.values():
        f(x, x)
    assert float(x.model.calls) == 3, "batches of 7 images"
    made: list[int] = []
    assert [x.once("fit", lambda: made.append(1) or "it") for _ in range(3)] == ["it"] * 3
    assert made == [1]


def test_draws_depend_on_the_seed_and_the_quantity_only() -> None:
    x = draw(20, 1)
    noise = lambda y: torch.rand(len(y))  # noqa: E731
    one = images(x).each(noise, "a")
    torch.rand(3)
    assert torch.equal(one, images(x).each(noise, "a"))
    assert not torch.equal(one, images(x).each(noise, "b"))


def test_a_model_of_another_run_scores_the_same_images() -> None:
    x = images(draw(20, 1))
    assert torch.equal(x.under("RUN").nll, x.nll)
    assert x.under("RUN") is x.under("RUN")
    other = Setting(lambda run: Dark((1, 8, 8)))
    with pytest.raises(Incapable, match="name a run on the same data"):
        Images(Dark(), x.x, other, "images").under("RUN")


# ---- statistics come from training images


def test_no_test_image_changes_the_statistics() -> None:
    data = Drawn()
    sample = training_sample(Dark(), data, SETTING, 50).x
    train = {bytes(x.numpy().tobytes()) for x in data.images("train")}
    assert len(sample) == 50
    assert {bytes(x.numpy().tobytes()) for x in sample} <= train
    assert torch.equal(sample, training_sample(Dark(), data, SETTING, 50).x)
    assert len(training_sample(Dark(), data, SETTING, 10**6).x) == 120


# ---- other data as images of the run's


def test_made_images_are_what_they_are_called() -> None:
    x = draw(500, 1)
    made = {name: f(x, LEVELS, torch.Generator().manual_seed(0)) for name, f in SYNTHETIC.items()}
    for name, y in made.items():
        assert y.shape == x.shape, name
        assert y.dtype == torch.uint8
        assert int(y.max()) < LEVELS
    assert torch.equal(made["inverted"].int() + x.int(), torch.full(x.shape, LEVELS - 1).int())
    assert bool((made["constant"] == made["constant"][:, :, :1, :1]).all())
    counts = made["noise"].flatten().bincount(minlength=LEVELS).double()
    assert float((counts / counts.sum() - 1 / LEVELS).abs().max()) < 0.01


@pytest.mark.parametrize(
    ("levels", "target"), [(256, 32), (256, 17), (256, 2), (17, 256), (2, 17)]
)
def test_levels_keep_black_and_white_and_their_order(levels: int, target: int) -> None:
    x = torch.arange(levels).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, *SHAPE)
    y = fitted("x", x, levels, Drawn(levels=target)).int()
    assert int(y[0].max()) == 0
    assert int(y[-1].min()) == target - 1
    assert bool((y[1:] >= y[:-1]).all())
    if (levels, target) == (256, 32):
        assert torch.equal(y, x.int() >> 3), "the lowest bits are dropped"


def test_images_are_binarized_as_the_runs_were() -> None:
    x = torch.full((400, *SHAPE), 64, dtype=torch.uint8)
    data = Drawn(levels=2)
    assert int(fitted("x", x, 256, data).max()) == 0
    data.facts = lambda: {"binarization": "dynamic"}  # type: ignore[method-assign]
    y = fitted("x", x, 256, data)
    assert abs(float(y.float().mean()) - 64 / 255) < 0.02
    assert torch.equal(y, fitted("x", x, 256, data))


def test_images_that_do_not_fit_are_told() -> None:
    x = torch.zeros(3, 3, 5, 5, dtype=torch.uint8)
    with pytest.raises(
        Incapable, match="data=pets has images of 3x5x5, and the run's are 1x4x4: "
    ):
        fitted("pets", x, 256, Drawn())
    with pytest.raises(GdlError, match="fit=squeeze is not known"):
        fitted("pets", x, 256, Drawn(), "squeeze")
    with pytest.raises(Incapable, match="are continuous, and the run's are integers"):
        fitted("pets", torch.zeros(3, *SHAPE), None, Drawn())


# ---- the measure


def host(tmp_path: Path, **data: ImageData) -> Host:
    return Host(tmp_path, [*data], open_data=lambda name: data[name])


def measured(tmp_path: Path, **options: Any) -> dict[str, float]:
    given = {"scores": ALL, "resamples": 20, **options}
    return ood(Dark(), Drawn(), host(tmp_path, bright=Drawn(0.3, n=50)), **given)


def test_the_numbers_are_those_of_the_test_images(tmp_path: Path) -> None:
    found = measured(tmp_path)
    own, foreign = exact(Drawn().images("test")), exact(Drawn(0.3, n=50).images("test"))
    truth = roc_auc_score([0] * 60 + [1] * 50, torch.cat([own, foreign]))
    assert found["test/ood/bright/likelihood/auroc"] == pytest.approx(truth)
    assert found["test/ood/bright/images"] == 50
    mean = exact(Drawn().images("train")).mean()
    both = torch.cat([(own - mean).abs(), (foreign - mean).abs()])
    truth = roc_auc_score([0] * 60 + [1] * 50, both)
    assert found["test/ood/bright/typicality/auroc"] == pytest.approx(truth)
    for score in ALL:
        low, value, high = (
            found[f"test/ood/bright/{score}/auroc{end}"] for end in ("_low", "", "_high")
        )
        assert low <= value <= high
    with Image.open(tmp_path / "ood-bright.png") as picture:
        assert picture.size == (1200, 640)
    assert found == measured(tmp_path)
    assert found != measured(tmp_path, seed=1)


def test_the_same_images_are_told_apart_by_chance_only(tmp_path: Path) -> None:
    found = ood(Dark(), Drawn(), host(tmp_path, same=Drawn()), ALL, resamples=100)
    for score in ALL:
        assert found[f"test/ood/same/{score}/auroc"] == pytest.approx(0.5)
        assert found[f"test/ood/same/{score}/auroc_low"] < 0.5


def broken(images: Images, train: Images) -> Tensor:
    raise Incapable("it asks for what no model has: use model=none.")


def test_a_score_that_is_not_possible_is_left_out_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = {"broken": broken, "likelihood": outliers.likelihood}
    found = measured(tmp_path, scores=both)
    note = "note: left out: measure=ood asks for the score broken, and it asks for what no model"
    assert note in capsys.readouterr().err
    assert not any("broken" in key for key in found)
    for options in ({"scores": both, "only": ["broken"]}, {"scores": {"broken": broken}}):
        with pytest.raises(Incapable, match="the score broken, and it asks for what no model has"):
            measured(tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"only": ["likelyhood"]}, "no score 'likelyhood': did you mean likelihood"),
        ({"only": ["x"]}, "no score 'x': choose from likelihood, complexity, typicality"),
        ({"only": []}, "No score is left: choose from likelihood"),
        ({"resamples": 0}, "resamples must be a whole number"),
        ({"num_fit": 0}, "num_fit must be a whole number"),
        ({"limit": -1}, "limit must be a whole number"),
        ({"k": 0}, "k of the nll must be a whole number"),
        ({"batch_size": 0.5}, "batch_size must be a whole number"),
    ],
)
def test_bad_options_are_told(options: dict, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(GdlError, match=sentence):
        measured(tmp_path, **options)


def test_a_score_that_is_no_number_is_the_most_foreign(tmp_path: Path) -> None:
    def infinite(value: float) -> Callable[[Images, Images], Tensor]:
        return lambda x, train: torch.where(x.nll > x.nll.mean(), value, 0.0)

    table = {"inf": infinite(math.inf), "nan": infinite(math.nan), "one": infinite(1.0)}
    found = measured(tmp_path, scores=table)
    for number in ("auroc", "aupr", "fpr95", "auroc_low"):
        values = {found[f"test/ood/bright/{name}/{number}"] for name in table}
        assert len(values) == 1, number


# ---- the table of single images


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


class Named(Drawn):
    """Images with names of any kind."""

    NAMES = (
        "=1+1.png",
        "+x",
        "-x",
        "@x",
        'a,"b"',
        "new\nline",
        "\udcff\udcfe",
        "é 雪",
        "\t",
        "\r\n",
    )

    def names(self, split: str) -> list[str]:
        own = [f"{split}/{i}" for i in range(len(self.images(split)))]
        return [*self.NAMES, *own[len(self.NAMES) :]] if split == "train" else own


def table_of(tmp_path: Path, **options: Any) -> list[dict[str, str]]:
    place = host(tmp_path, pets=Named(0.3, n=20))
    assert scores(Dark(), Drawn(), place, ALL, **options) == {}
    assert place.written == [tmp_path / "scores.csv", tmp_path / "strangest.png"]
    return rows(tmp_path / "scores.csv")


def test_each_image_has_a_row_with_its_name_and_exact_scores(tmp_path: Path) -> None:
    found = table_of(tmp_path)
    data = Named(0.3, n=20)
    names = [name for split in ("train", "val", "test") for name in data.names(split)]
    assert len(found) == len(names) == 80
    # "./" in front changes no path
    assert [row["file"].removeprefix("./") for row in found] == names
    x = torch.cat([data.images(split) for split in ("train", "val", "test")])
    assert [float(row["likelihood"]) for row in found] == images(x).nll.tolist()
    order = sorted(range(80), key=lambda i: -float(found[i]["complexity"]))
    assert [int(found[i]["rank"]) for i in order] == list(range(1, 81))


def test_no_cell_of_the_table_is_a_formula(tmp_path: Path) -> None:
    for row in table_of(tmp_path):
        assert row["file"][0] not in "=+-@\t\r"
    text = (tmp_path / "scores.csv").read_bytes()
    assert b'"./=1+1.png",' in text
    assert b'"\xff\xfe",' in text, "bytes that are no UTF-8 stay as they are"


def test_the_strangest_come_first_if_asked(tmp_path: Path) -> None:
    plain = table_of(tmp_path)
    found = table_of(tmp_path, sort=True, by="likelihood")
    values = [float(row["likelihood"]) for row in found]
    assert values == sorted(values, reverse=True)
    assert [int(row["rank"]) for row in found] == list(range(1, 81))
    assert {row["file"] for row in found} == {row["file"] for row in plain}


def test_parts_of_the_data_are_scored_on_their_own(tmp_path: Path) -> None:
    assert [row["file"] for row in table_of(tmp_path, split="val", limit=2)] == ["val/0", "val/1"]
    place = host(tmp_path)
    scores(Dark(), Drawn(), place, ALL, only=["likelihood"])
    found = rows(tmp_path / "scores.csv")
    assert [row["file"] for row in found] == [f"test[{i}]" for i in range(60)]
    assert list(found[0]) == ["file", "rank", "likelihood"]


def test_the_files_go_where_the_user_says(tmp_path: Path) -> None:
    place = Host(tmp_path / "run", out=tmp_path / "new" / "mine.csv")
    scores(Dark(), Drawn(), place, ALL, sheet=3)
    assert place.written == [tmp_path / "new" / f for f in ("mine.csv", "mine-strangest.png")]
    assert all(path.is_file() for path in place.written)
    place = Host(tmp_path, out=tmp_path / "photo.png")
    with pytest.raises(GdlError, match=r"photo.png does not end in .csv: name a file that does"):
        scores(Dark(), Drawn(), place, ALL)


@pytest.mark.parametrize("measure", [ood, scores])
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    measure: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    model = Dark()
    with pytest.raises(
        GdlError, match=r"file cannot be written \(.*\): name another place with out="
    ):
        measure(model, Drawn(), Host(tmp_path / "file"), ALL)
    assert float(model.calls) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"by": "x"}, "no score 'x'"),
        ({"by": "groups"}, "by=groups, which is no score of single images"),
        ({"split": "all"}, "split=all is no part of data"),
        ({"sheet": 0}, "sheet must be a whole number"),
        ({"limit": 0}, "limit must be a whole number"),
        ({"only": ["groups"]}, "a score of single images"),
    ],
)
def test_what_cannot_be_a_table_is_told(options: dict, sentence: str, tmp_path: Path) -> None:
    table = {**ALL, "groups": lambda x, train: outliers.typicality(x, train, n=2)}
    with pytest.raises(GdlError, match=sentence):
        scores(Dark(), Drawn(), host(tmp_path), table, **options)
    two = host(tmp_path, a=Drawn(), b=Drawn())
    with pytest.raises(GdlError, match="one data set at a time, and data= names 2"):
        scores(Dark(), Drawn(), two, ALL)


def test_digits_are_told_from_noise(tmp_path: Path) -> None:
    """The whole measure on real images, and a model that has learned nothing but how dark they are."""
    data = Digits(shape=[1, 8, 8], levels=17, data_dir=str(tmp_path))
    found = ood(Dark((1, 8, 8)), data, Host(tmp_path), ALL, resamples=20)
    assert found["test/ood/noise/likelihood/auroc"] > 0.99
    assert found["test/ood/constant/complexity/auroc"] > 0.9
    assert found["test/ood/inverted/images"] == 297
