"""Every measure on every family: numbers under the documented keys, or a sentence that names models."""

import ast
import inspect
import math
import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra.utils import get_object, instantiate
from matplotlib.figure import Figure
from omegaconf import OmegaConf

import gdl
from gdl import evaluation, models, tasks
from gdl.capabilities import (
    HasFeatures,
    HasImportanceWeights,
    HasLatents,
    HasPosterior,
    Incapable,
    Invertible,
    SamplesGiven,
    ScoresGiven,
    refuse,
)
from gdl.coding.codecs import has_jxl
from gdl.commands.conf import CONF
from gdl.commands.old_spellings import OLD_SPELLINGS, with_new_names
from gdl.corruptions import Downsample
from gdl.data import Digits, Toy
from gdl.errors import GdlError
from gdl.evaluation import (
    Host,
    bits,
    classifier,
    conditional,
    detection,
    divergence,
    iwae,
    outliers,
    several,
)
from gdl.families.base import GenerativeModel
from gdl.models import MADE, NICE, VAE, Autoencoder, RealNVP

SHAPE, LEVELS, N = (1, 8, 8), 17, 30
ROOMS = [Path(gdl.__file__).parent / room for room in ("evaluation", "tasks")]


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Digits:
    return Digits(shape=SHAPE, levels=LEVELS, data_dir=str(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def toy() -> Toy:
    return Toy(target="moons", shape=[2], num_train=1000, num_eval=1000)


MODELS: dict[str, Callable[[], GenerativeModel]] = {
    "vae": lambda: VAE(SHAPE, LEVELS, 4),
    "iwae": lambda: VAE(SHAPE, LEVELS, 4, num_importance_samples=3),
    "ae": lambda: Autoencoder(SHAPE, LEVELS, 4),
    "flow": lambda: RealNVP(SHAPE, LEVELS, width=8, blocks=1),
    "made": lambda: MADE(SHAPE, LEVELS, hidden=[20]),
    "toy": lambda: NICE((2,), None, hidden=[8]),
    "vae of classes": lambda: VAE(SHAPE, LEVELS, 4, num_classes=10),
    "ae of classes": lambda: Autoencoder(SHAPE, LEVELS, 4, num_classes=10),
    "flow of classes": lambda: RealNVP(SHAPE, LEVELS, width=8, blocks=1, num_classes=10),
    "made of classes": lambda: MADE(SHAPE, LEVELS, hidden=[20], num_classes=10),
}


@torch.no_grad()
def build(name: str) -> GenerativeModel:
    torch.manual_seed(0)
    model = MODELS[name]()
    if name.startswith("flow"):
        model.initialize(torch.randint(LEVELS, (50, *SHAPE), dtype=torch.uint8))
    if name == "toy":
        model.initialize(torch.randn(50, 2))
    for p in model.parameters():
        p.add_(0.05 * torch.randn_like(p))
    model.config = {"choices": {"data": "numerals"}}
    return model.eval()


def nll(prefix: str) -> set[str]:
    return {f"{prefix}/{k}" for k in ("nll", "nll_se", "bpd", "bpd_se")}


def terms(*names: str) -> set[str]:
    return {f"test/{name}{suffix}" for name in names for suffix in ("", "_se")}


ESS = {"iwae-7/effective_samples", "iwae-7/effective_samples_min"}
LATENT = terms("loss", "elbo", "rate", "distortion") | nll("test")
# the classifier is called after the run's choice of data
SETS = ("reconstructions", "prior_samples", "mixture_samples", "train")
DISTANCES = {f"{d}-cnn-numerals/{s}" for d in ("fd", "kd") for s in SETS}
DISTANCES |= {"cnn-numerals/accuracy", "cnn-numerals/num_images"}
CODES = {f"code-{name}/bpd" for name in ("png", "webp", "zlib", "xz", *["jxl"] * has_jxl())}
GIVEN = nll("test") | nll("given-label")


def scores(*names: str) -> set[str]:
    kinds = ("accuracy", "log_loss", "calibration_error")
    return {f"classify-{n}/{k}{se}" for n in names for k in kinds for se in ("", "_se")}


INVERSION = {"inversion/max_error", "inversion/mean_error", "samples/nonfinite"}

SCORES = {"likelihood": outliers.likelihood, "complexity": outliers.complexity}
OOD_NUMBERS = {f"{n}{end}" for n in detection.METRICS for end in ("", "_low", "_high")}
FOREIGN = ("noise",)
LATENTS = {f"latents/{n}{se}" for n in ("rate", "distortion", "information") for se in ("", "_se")}
LATENTS |= {f"latents/{n}" for n in ("largest_information", "aggregate_kl", "marginal_kl")}
LATENTS |= {"latents/total_correlation", "latents/number", "active_units"}
HOST = Host(Path(tempfile.gettempdir(), "gdl-tests-of-measures"), FOREIGN)
OOD = {f"test/ood/{d}/{s}/{n}" for d in FOREIGN for s in SCORES for n in OOD_NUMBERS}
OOD |= {"test/ood/k", *(f"test/ood/{d}/images" for d in FOREIGN)}


def probed(name: str) -> set[str]:
    numbers = ("linear-3", "linear-3_se", "knn-3", "knn-3_se", "dims", "active_units")
    return {f"features-{name}/{number}" for number in numbers}


PROBED, OF_PCA = probed("model") | probed("pixels"), probed("pca")

MEASURES: dict[str, tuple[dict[str, Any], dict[str, set[str]]]] = {
    "bits": (
        {},
        {
            "vae": LATENT,
            "iwae": LATENT,
            "ae": terms("loss", "mse"),
            "flow": terms("loss") | nll("test"),
            "made": terms("loss") | nll("test"),
            "toy": terms("loss", "nll"),
            "vae of classes": terms("loss", "rate", "distortion")
            | {"given-label/elbo", "given-label/elbo_se"}
            | GIVEN,
            "ae of classes": terms("loss", "mse"),
            "flow of classes": terms("loss") | GIVEN,
            "made of classes": terms("loss") | GIVEN,
        },
    ),
    "iwae": (
        {"k": 7},
        dict.fromkeys(("vae", "iwae", "vae of classes"), nll("iwae-7") | ESS),
    ),
    "active_units": (
        {},
        {n: {"active_units", "latents/number"} for n in ("vae", "iwae", "vae of classes")},
    ),
    "latents": (
        {"host": HOST},
        {n: LATENTS for n in ("vae", "iwae", "vae of classes")},
    ),
    "classify": (
        {"k": 2, "labels": [3], "host": HOST},
        {
            "vae of classes": scores("iwae-2", "logistic-3", "cnn-3"),
            "flow of classes": scores("dequant-2", "logistic-3", "cnn-3"),
            "made of classes": scores("exact", "logistic-3", "cnn-3"),
        },
    ),
    "dequantization": (
        {"k": 3},
        dict.fromkeys(("flow", "flow of classes"), nll("dequant-3")),
    ),
    "inversion": (
        {"n": 20},
        {
            **dict.fromkeys(("flow", "flow of classes"), INVERSION | {"samples/unlikely"}),
            "toy": INVERSION,
        },
    ),
    "disentanglement": ({"host": HOST}, {}),  # digits have no factors, see test_disentanglement.py
    "codecs": ({}, dict.fromkeys((n for n in MODELS if n != "toy"), CODES)),
    "divergence": ({}, {"toy": {"test/points"} | terms("kl", "entropy")}),
    "distances": (
        {},
        dict.fromkeys(
            (n for n in MODELS if n[:3] in ("vae", "iwa", "ae", "ae ", "flo")), DISTANCES
        ),
    ),
    "conditional": (
        {"known": "left"},
        dict.fromkeys(("made", "made of classes"), nll("ordered-left")),
    ),
    "ood": (
        {"scores": SCORES, "resamples": 5, "host": HOST},
        dict.fromkeys((n for n in MODELS if n[:3] in ("vae", "iwa", "flo", "mad")), OOD),
    ),
    "features": (
        {"labels": [3], "draws": 2, "num_train": 200, "host": HOST},
        {
            n: PROBED | (set() if n.startswith("flow") else OF_PCA)
            for n in ("vae", "iwae", "ae", "flow", "flow of classes", "made")
        },
    ),
    # in tests/test_restoration.py are models that can; of averages none here can
    "restoration": ({"corruption": {"small": Downsample()}, "host": HOST}, {}),
    "parses": ({}, {}),  # see test_parses.py
    "stream": ({}, {}),  # these models are of images, see test_stream.py
    "translation": ({"host": HOST}, {}),  # and so are the data, see test_translation.py
    "scores": (
        {"scores": SCORES, "host": Host(HOST.folder)},
        {n: set() for n in MODELS if n[:3] in ("vae", "iwa", "flo", "mad", "toy")},
    ),
}
"""A row for each measure: options for a test, and the keys by the models that are capable."""


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("measure", MEASURES)
def test_a_capable_model_gets_numbers_and_another_one_a_sentence(
    measure: str,
    name: str,
    digits: Digits,
    toy: Toy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classifier, "MAX_STEPS", 3)
    monkeypatch.setattr("gdl.evaluation.out_of_distribution.save_scores", lambda *_: None)
    monkeypatch.setattr("gdl.plots.latents_figure", lambda *_: Figure())
    options, capable = MEASURES[measure]
    data = toy if name == "toy" else digits
    ask = partial(getattr(evaluation, measure), build(name), data, **options, limit=N)
    if name in capable:
        found = ask()
        assert set(found) == capable[name]
        assert all(isinstance(v, int | float) and math.isfinite(v) for v in found.values())
        assert found == ask(), "the seed alone decides"
    elif (measure, name) == ("distances", "toy"):
        with pytest.raises(GdlError, match="no labels"):
            ask()
    else:
        with pytest.raises(Incapable, match=rf"^measure={measure} asks for .*[uU]se .*=.*\.$"):
            ask()


def files() -> list[str]:
    return sorted(path.stem for path in (CONF / "measure").glob("*.yaml"))


def test_each_measure_has_a_row_a_file_and_a_public_name() -> None:
    assert sorted([*MEASURES, "default"]) == files()
    assert set(MEASURES) <= set(evaluation.__all__)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_options_in_the_file_are_those_of_the_function(measure: str) -> None:
    node: Any = OmegaConf.load(CONF / "measure" / f"{measure}.yaml")
    assert get_object(node["_target_"]) is getattr(evaluation, measure)
    parameters = inspect.signature(getattr(evaluation, measure)).parameters
    options = {key for key in node if not str(key).startswith("_")}
    if "defaults" in node:
        mounted = {"/score@scores": "default"}, {"/corruption@corruption": None}
        found = [m for m in mounted if m in node["defaults"]]
        assert found
        options = options - {"defaults"} | {next(iter(m)).partition("@")[2] for m in found}
    # `limit` is the command's: a measure of a part of the images must not be kept as one of all
    assert options == set(parameters) - {"model", "data", "limit", "host"}
    for key, value in OmegaConf.to_container(node, resolve=False).items():
        if key in options and not str(value).startswith("${"):
            default = parameters[key].default
            assert value == (list(default) if isinstance(default, tuple) else default)


# ---- several measures


def compose(*overrides: str) -> Any:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("evaluate", list(overrides))


DEFAULT = {
    "vae": MEASURES["bits"][1]["vae"] | nll("iwae-7") | ESS | {"active_units", "latents/number"},
    "ae": MEASURES["bits"][1]["ae"],
    "flow": MEASURES["bits"][1]["flow"] | MEASURES["inversion"][1]["flow"],
    "made": MEASURES["bits"][1]["made"],
    "toy": MEASURES["bits"][1]["toy"] | MEASURES["divergence"][1]["toy"] | INVERSION,
}  # fmt: skip


@pytest.mark.parametrize("name", DEFAULT)
def test_by_default_all_is_measured_that_the_run_allows(
    name: str, digits: Digits, toy: Toy
) -> None:
    measure = instantiate(compose("measure.iwae.k=7").measure, _convert_="all")
    found = measure(build(name), toy if name == "toy" else digits, limit=N)
    assert set(found) == DEFAULT[name]


def test_what_is_measured_together_is_what_is_measured_alone(digits: Digits) -> None:
    model = build("vae")
    together = instantiate(compose("measure.iwae.k=7", "seed=2").measure)(model, digits, limit=N)
    alone = instantiate(compose("measure=iwae", "measure.k=7", "seed=2").measure)
    found = alone(model, digits, limit=N)
    assert set(found) == MEASURES["iwae"][1]["vae"]
    assert found == {key: together[key] for key in found}
    other = instantiate(compose("measure=iwae", "measure.k=7", "seed=3").measure)
    assert other(model, digits, limit=N) != found


def test_a_measure_that_was_asked_for_is_not_left_out(digits: Digits) -> None:
    made = build("made")
    assert several(made, digits, ["iwae"], limit=N, iwae=iwae) == {}
    with pytest.raises(Incapable, match=r"which MADE lacks: use a run of model=.*vae"):
        several(made, digits, limit=N, iwae=iwae)
    cfg = compose("+measure@measure.conditional=conditional")
    with pytest.raises(Incapable, match="measure=conditional asks"):
        instantiate(cfg.measure, _convert_="all")(build("ae"), digits, limit=N)


def test_an_error_is_not_taken_for_a_missing_capability(digits: Digits) -> None:
    with pytest.raises(GdlError, match="k of measure=iwae must be a whole number"):
        several(build("vae"), digits, ["iwae"], iwae=partial(iwae, k=0))


# ---- what the numbers are


def test_the_importance_weighted_bound_is_tighter_than_the_elbo(digits: Digits) -> None:
    model = build("vae")
    with torch.no_grad():
        model.encoder[-1].bias.add_(0.5)  # type: ignore[index, union-attr, operator]
    elbo = bits(model, digits, limit=N)
    one, many = (iwae(model, digits, k=k, limit=N) for k in (1, 100))
    assert elbo["test/nll"] == pytest.approx(-elbo["test/elbo"])
    gap = elbo["test/nll"] - many["iwae-100/nll"]
    assert gap > 0.2, "the posterior is wrong by that many nats at least"
    # one sample is the ELBO again
    assert abs(one["iwae-1/nll"] - elbo["test/nll"]) < 0.3 * gap
    assert one["iwae-1/effective_samples"] == pytest.approx(1)
    assert 1 < many["iwae-100/effective_samples"] < 100


@pytest.mark.parametrize("name", ["vae", "made", "flow"])
def test_errors_of_bits_are_in_bits(name: str, digits: Digits) -> None:
    found = bits(build(name), digits, limit=N)
    for suffix in ("", "_se"):
        per_dim = found[f"test/nll{suffix}"] / (64 * math.log(2))
        assert found[f"test/bpd{suffix}"] == pytest.approx(per_dim)
    assert found["test/bpd_se"] > 0


def test_conditional_bits_are_per_unknown_pixel(digits: Digits) -> None:
    found = conditional(build("made"), digits, known="random-0.75", limit=N)
    for suffix in ("", "_se"):
        key = "ordered-random-0.75"
        per_dim = found[f"{key}/nll{suffix}"] / (16 * math.log(2))
        assert found[f"{key}/bpd{suffix}"] == pytest.approx(per_dim)


@pytest.mark.parametrize("option", ["limit", "batch_size", "draws"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "ten"])
def test_a_number_of_images_or_samples_is_checked(option: str, value: Any, digits: Digits) -> None:
    with pytest.raises(GdlError, match=f"{option}.* must be a whole number of at least 1"):
        bits(build("vae"), digits, **{option: value})


def test_a_limit_changes_what_is_measured_and_nothing_else(digits: Digits) -> None:
    model = build("made")
    assert bits(model, digits, limit=297) == bits(model, digits)
    assert bits(model, digits, limit=10) != bits(model, digits)


def test_a_bound_gives_no_divergence(toy: Toy) -> None:
    model = build("toy")
    assert "test/kl" in divergence(model, toy, limit=N)
    model.nll_kind = "iwae-5"
    with pytest.raises(Incapable, match="asks for an exact density, which NICE lacks"):
        divergence(model, toy, limit=N)


# ---- the models that a sentence names

CAPABLE = {
    HasFeatures: [
        *("ae", "beta_tcvae", "denoising_ae", "factor_vae", "gaussian", "glow", "made", "nade"),
        "nice",
        *("pixelcnn", "pixelcnn_pp", "realnvp", "transformer", "vae"),
    ],
    HasImportanceWeights: ["beta_tcvae", "factor_vae", "vae"],
    HasPosterior: ["beta_tcvae", "factor_vae", "vae"],
    HasLatents: [
        "ae",
        "beta_tcvae",
        "denoising_ae",
        "factor_vae",
        "gaussian",
        "glow",
        "nice",
        "realnvp",
        "vae",
    ],
    Invertible: ["gaussian", "glow", "nice", "realnvp"],
    ScoresGiven: ["fvsbn", "made", "nade", "pixelcnn", "pixelcnn_pp", "transformer"],
    SamplesGiven: ["fvsbn", "made", "nade", "pixelcnn", "pixelcnn_pp", "transformer"],
}


@pytest.mark.parametrize("protocol", CAPABLE)
def test_a_sentence_names_the_choices_of_capable_models(protocol: type) -> None:
    with pytest.raises(Incapable) as refused:
        refuse(object(), protocol, "task=x asks for y", models)
    text = str(refused.value)
    named = re.findall(r"\w+", text.partition("model=")[2].replace(" or ", " "))
    assert named == CAPABLE[protocol]
    for name in named:
        node: Any = OmegaConf.load(CONF / "model" / f"{name}.yaml")
        assert node["_target_"].rpartition(".")[2] in models.__all__


@pytest.mark.parametrize("name", MODELS)
def test_capabilities_are_those_of_the_choices(name: str) -> None:
    kind = name.partition(" ")[0]
    choice = {"iwae": "vae", "flow": "realnvp", "toy": "nice"}.get(kind, kind)
    model = build(name)
    for protocol, capable in CAPABLE.items():
        assert isinstance(model, protocol) == (choice in capable), protocol


# ---- old spellings


@pytest.mark.parametrize(
    ("old", "key", "value"),
    [
        ("k=5000", "measure.iwae.k", 5000),
        ("dequantization_samples=16", "measure.dequantization.k", 16),
        ("known=left", "measure.conditional.known", "left"),
        ("distances=true", "measure.distances._target_", "gdl.evaluation.distances"),
    ],
)
def test_old_spellings_work_and_say_until_when(
    old: str, key: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    args = with_new_names(["run=latest", old], "evaluate")
    note = capsys.readouterr().err
    assert note.startswith(f"note: {old} is now measure=")
    assert note.endswith("the old spelling ends with version 0.3 (2027-06).\n")
    assert note.count("\n") == 1
    cfg = compose(*args)
    assert OmegaConf.select(cfg, key) == value
    assert set(compose().measure) <= set(cfg.measure), "nothing is left out"
    proposed = re.findall(r"measure[.\w]*=[\w.]+", note.partition(",")[0])
    compose(*proposed)


def test_old_spellings_that_ask_for_nothing_add_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = ["known=null", "distances=false", "dequantization_samples=1"]
    assert with_new_names(old, "evaluate") == []
    assert capsys.readouterr().err.count("is the default") == 3
    assert with_new_names(["k=3"], "train") == ["k=3"]


def test_old_spellings_have_ended_when_their_version_comes() -> None:
    now = tuple(map(int, gdl.__version__.split(".")[:2]))
    for table in OLD_SPELLINGS.values():
        for old in table.values():
            assert now < tuple(map(int, old.ends.split()[0].split(".")))


# ---- the rooms


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.name)
def test_capabilities_are_asked_for_and_not_classes(room: Path) -> None:
    for file in room.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not str(node.module).startswith("gdl.models")
                assert node.module not in ("gdl.families.flow", "gdl.families.autoregressive")


def test_nothing_heavy_is_imported_with_the_measures() -> None:
    for file in ROOMS[0].glob("*.py"):
        for node in ast.parse(file.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {n.partition(".")[0] for n in names} & {"sklearn", "scipy", "matplotlib"}


@pytest.mark.parametrize("package", [evaluation, tasks])
def test_no_public_name_hides_a_module(package: Any) -> None:
    modules = {path.stem for path in Path(package.__file__).parent.glob("*.py")}
    assert not modules & set(package.__all__)


@pytest.mark.parametrize("temperature", [-1.0, math.nan, math.inf])
def test_a_temperature_without_meaning_is_refused(temperature: float) -> None:
    x = torch.zeros(1, *SHAPE, dtype=torch.uint8)
    for task in (tasks.sample, tasks.complete):
        with pytest.raises(GdlError, match="temperature"):
            task(build("made"), x, temperature=temperature)


@torch.no_grad()
def test_an_inverse_that_is_not_a_number_is_told(digits: Digits) -> None:
    model = build("flow")
    decode = model.decode
    model.decode = lambda z: decode(z) * torch.where(z.sum() > z.sum() - 1, math.nan, 1.0)
    assert math.isnan(evaluation.inversion(model, digits, limit=5)["inversion/max_error"])
