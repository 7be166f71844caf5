"""measure=disentanglement on small data with three factors, and the tables of its numbers."""

import json
import math
import re
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra.utils import instantiate
from test_results import make_run
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.commands.conf import CONF
from gdl.comparison.disentanglement import disentanglement_tables
from gdl.comparison.entries import read_runs
from gdl.comparison.results import add_records, render
from gdl.comparison.seeds import group_seeds
from gdl.data.base import ImageData, Split
from gdl.data.factors import HasFactors
from gdl.errors import GdlError
from gdl.evaluation import Host, disentanglement
from gdl.evaluation.disentangling import measure
from gdl.evaluation.disentangling.dci import DCI
from gdl.evaluation.disentangling.encoded import MOST_LATENTS
from gdl.families.latent import LatentModel
from gdl.models import MADE, VAE, Autoencoder, RealNVP
from gdl.runs.directory import Run
from gdl.runs.metrics import name_of

SHAPE, LEVELS = (1, 4, 4), 5
NUM = {"train": 1500, "val": 20, "test": 1100}


class Spots(ImageData):
    """A spot at one of 4x4 places, of one of 4 levels; and a factor that never varies."""

    factor_names, factor_sizes = ("shape", "x", "y", "color"), (4, 4, 4, 1)

    def factors(self, split: str) -> Tensor:
        generator = torch.Generator().manual_seed(len(split))
        sizes = [(s, (NUM[split],)) for s in self.factor_sizes]
        return torch.stack([torch.randint(*size, generator=generator) for size in sizes], 1)

    def render(self, factors: Tensor) -> Tensor:
        x = torch.zeros(len(factors), *SHAPE, dtype=torch.uint8)
        level, column, row, _ = factors.unbind(1)
        x[torch.arange(len(x)), 0, row, column] = 1 + level.to(torch.uint8)
        return x

    def load(self) -> dict[str, Split]:
        return {s: (self.render(self.factors(s)), self.factors(s)[:, 0]) for s in NUM}


class Knows(LatentModel):
    """Encodes each factor of `Spots` in a latent of its own, between latents that are dead."""

    nll_kind = None

    def __init__(self) -> None:
        super().__init__(SHAPE, LEVELS)
        self.latent_shape = (5,)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the factors."""
        place = x.flatten(1).argmax(1)
        level = x.flatten(1).amax(1).long() - 1
        dead = torch.zeros_like(place)
        return torch.stack([place % 4, dead, -level, dead, place // 4], 1).float()

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return nothing of interest."""
        return z.new_zeros(len(z), *SHAPE)

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return nothing of interest."""
        return {"loss": x.flatten(1).float().mean(1)}


@pytest.fixture(scope="module")
def spots() -> Spots:
    data = Spots(SHAPE, LEVELS)
    assert isinstance(data, HasFactors)
    return data


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


SCORES = {
    *("mig_hist20", "sap_r2", "sap_svc", "factor_vae_score", "beta_vae_score"),
    *(f"dci_forest_{n}" for n in ("disentanglement", "completeness", "informativeness")),
    "gaussian_total_correlation",
}
POSTERIOR = {"mig_chen", "mig_chen_no_shape"}
DETAILS = {"images", "mig_hist20/shape", "mig_hist20/x", "mig_hist20/y"}


def keys(*scores: set[str], errors: bool) -> set[str]:
    names = set().union(*scores)
    names |= {f"{name}_se" for name in names if errors}
    return {f"disentanglement/{name}" for name in names | DETAILS}


MODELS = {
    "vae": lambda: VAE(SHAPE, LEVELS, 4),
    "vae of classes": lambda: VAE(SHAPE, LEVELS, 4, num_classes=4),
    "ae": lambda: Autoencoder(SHAPE, LEVELS, 4),
    "flow": lambda: RealNVP(SHAPE, LEVELS, width=8, blocks=1),
}


@pytest.mark.parametrize(
    "name", [n if n == "vae" else pytest.param(n, marks=pytest.mark.slow) for n in MODELS]
)
def test_every_model_with_latents_gets_the_numbers(name: str, spots: Spots, host: Host) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    if name == "flow":
        model.initialize(spots.images("train")[:100])
    found = disentanglement(model, spots, host=host, limit=300)
    expected = keys(SCORES, POSTERIOR if "vae" in name else set(), errors=False)
    if "vae" in name:
        expected |= {"disentanglement/active_units"}
    assert set(found) == expected
    assert all(math.isfinite(v) and v >= 0 for v in found.values())
    assert [path.name for path in host.written] == ["disentanglement.png"]
    assert host.written[0].stat().st_size > 10_000
    if name == "ae":
        other = disentanglement(model, spots, host=host, limit=300, batch_size=7)
        for key, value in found.items():
            assert other[key] == pytest.approx(value, abs=0.02), "the size of a batch is no matter"


def test_a_perfect_code_is_perfect_with_intervals(spots: Spots, host: Host) -> None:
    found = disentanglement(Knows().eval(), spots, host=host)
    assert set(found) == keys(SCORES, errors=True)
    of = {key.removeprefix("disentanglement/"): value for key, value in found.items()}
    for name in SCORES - {"sap_svc", "gaussian_total_correlation"}:
        assert of[name] == pytest.approx(1, abs=0.01), name
        assert of[f"{name}_se"] == pytest.approx(0, abs=0.01)
    assert 0.2 < of["sap_svc"] < 0.8
    assert of["gaussian_total_correlation"] < 0.02
    assert of["images"] == NUM["test"]
    assert 0 < of["gaussian_total_correlation_se"] < 0.02


@pytest.mark.slow
def test_the_error_is_the_spread_over_other_images(
    spots: Spots, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fifth of the images has sqrt(5) times the error of all, in the mean."""
    monkeypatch.setattr(measure, "FEWEST", 50)
    slow = DCI(1.0, 1.0, 1.0, torch.ones(3, 3) / 3)
    monkeypatch.setattr(measure, "dci", lambda *_: slow)
    monkeypatch.setattr(measure, "sap_svc", lambda *_: torch.ones(3))
    torch.manual_seed(1)
    model = Autoencoder(SHAPE, LEVELS, 3).eval()
    runs = [disentanglement(model, spots, num=300, seed=s, host=host) for s in range(4)]
    for name in ("mig_hist20", "sap_r2"):
        key = f"disentanglement/{name}"
        spread = torch.tensor([found[key] for found in runs]).std()
        error = torch.tensor([found[f"{key}_se"] for found in runs]).mean()
        assert 0.25 < float(spread / error) < 4


def test_other_bins_and_trees_have_other_names(spots: Spots, host: Host) -> None:
    found = disentanglement(Knows().eval(), spots, num=120, bins=10, trees="gbt", host=host)
    assert "disentanglement/mig_hist10" in found
    assert "disentanglement/dci_gbt_completeness" in found
    assert not {k for k in found if "mig_hist20" in k or "forest" in k}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trees": "lasso"}, r"measure\.trees must be forest or gbt, got 'lasso'"),
        ({"bins": 0}, r"bins of measure=disentanglement must be a whole number"),
        ({"num": 0}, "num must be a whole number"),
        ({"limit": 1}, "asks for at least 2 test images"),
        ({"limit": 12}, "raise limit"),
    ],
)
def test_an_option_that_is_none_is_a_sentence(
    options: dict[str, Any], said: str, spots: Spots, host: Host
) -> None:
    with pytest.raises(GdlError, match=said):
        disentanglement(Knows().eval(), spots, host=host, **options)


def test_what_cannot_be_measured_is_a_sentence(spots: Spots, host: Host) -> None:
    with pytest.raises(
        Incapable, match=r"asks for latents, which MADE lacks: use a run of model="
    ):
        disentanglement(MADE(SHAPE, LEVELS, hidden=[8]).eval(), spots, host=host)
    wide = Autoencoder(SHAPE, LEVELS, MOST_LATENTS + 1).eval()
    with pytest.raises(Incapable, match=r"at most 128 latents.*has 129: use a run of model="):
        disentanglement(wide, spots, host=host)
    broken = Autoencoder(SHAPE, LEVELS, 2).eval()
    with torch.no_grad():
        next(broken.parameters()).fill_(math.nan)
    with pytest.raises(GdlError, match="latents are not all finite"):
        disentanglement(broken, spots, host=host, limit=300)


def test_the_file_of_the_measure_builds_it(spots: Spots, host: Host) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("evaluate", ["measure=disentanglement", "measure.num=200"])
    found = instantiate(cfg.measure)(Knows().eval(), spots, host=host)
    assert found["disentanglement/images"] == 200


# ---- where the numbers are shown


def measured(folder: Path, model: str, seed: int, digest: str = "ab", **scores: float) -> Path:
    run = Run(make_run(folder, "abcdef123456"))
    metrics = {f"disentanglement/{k}": v for k, v in scores.items()}
    metrics |= {"model": model, "data": "dsprites", "data/digest": 32 * digest, "seed": seed}
    metrics |= {"data/train": 5, "data/val": 2, "data/test": 3, "test/images": 3}
    run.merge_metrics({**metrics, "data/shape": [1, 2, 2], "data/levels": 4})
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for seed, gap in ((0, 0.1), (1, 0.2), (2, 0.3)):
        more = {"mig_hist20_se": 0.01, "mig_hist20/x": 0.5, "images": 10}
        measured(folder / f"a{seed}", "beta_vae", seed, mig_hist20=gap, active_units=4, **more)
    measured(folder / "b", "vae", 0, mig_hist20=0.05, mig_hist20_se=0.004, sap_r2=0.02)
    measured(folder / "c", "vae", 0, digest="cd", sap_r2=0.03)
    make_run(folder / "d", "abcdef123456")
    return folder


def test_a_table_of_each_data_has_means_over_seeds(runs: Path) -> None:
    tables = disentanglement_tables(group_seeds(read_runs([runs])[0]))
    assert len(tables) == 2
    table = next(t for t in tables if len(t.rows) == 2)
    assert "disentanglement" in table.data
    assert table.columns[2:6] == ["mig hist20", "active units", "sap r2", "seeds"]
    assert [row[1:6] for row in table.rows] == [
        ["beta_vae", "0.200 ± 0.058", "4 ± 0.0", "-", "0,1,2"],
        ["vae", "0.050", "-", "0.020", "0"],
    ]
    # a single run's error is over images, which is not what the ± of a table is
    alone = disentanglement_tables(read_runs([runs])[0])
    assert sum(len(t.rows) for t in alone) == 5
    assert not any("±" in cell for t in alone for row in t.rows for cell in row)


def test_records_of_runs_give_the_table_of_results(runs: Path, tmp_path: Path) -> None:
    for path in runs.iterdir():  # the command of a run has its seed
        seed = Run(path).metrics()["seed"]
        facts = Run(path).record_facts()
        facts["commands"][0] += f" data=x seed={seed}"
        Run(path).record.write_text(json.dumps(facts))
    add_records(read_runs([runs])[0], tmp_path / "results")
    text = render(tmp_path / "results")
    sections = [s.split("\n## ")[0] for s in text.split("### ")[1:]]
    sections = [s for s in sections if "disentanglement" in s.splitlines()[0]]
    assert len(sections) == 2
    (section,) = [s for s in sections if "beta_vae" in s]
    assert re.search(
        r"^\| beta_vae \| 3 \| 0\.200 ± 0\.058 \| 4\.0 ± 0\.0 .* \|$", section, re.MULTILINE
    )
    assert re.search(r"^\| vae \| 1 \| 0\.050 ± 0\.004 \| .*0\.020 .* \|$", section, re.MULTILINE)
    assert "seed=" not in section


def test_the_metrics_are_printed_under_their_names() -> None:
    assert name_of("disentanglement/mig_chen_no_shape") == "mig_chen_no_shape"
    assert name_of("disentanglement/mig_hist20/x") is None
    assert name_of("disentanglement/images") is None
