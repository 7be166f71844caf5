"""Every model x data pair composes and takes a training step, or names the fix."""

import functools
from pathlib import Path

import hydra
import pytest
import torch
import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from small_models import small

from gdl.capabilities import InitializesFromData
from gdl.commands.conf import CONF, register_resolvers
from gdl.commands.values import check_values
from gdl.errors import GdlError
from gdl.serialization import TRAINING_KEYS
from gdl.training.run import build_model


def names(group):
    """Return the choices of a group, those in folders of recipes as restoration/NAME."""
    pattern = "**/*.yaml" if group == "experiment" else "*.yaml"
    folder = CONF / group
    return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.glob(pattern))


def compose(*overrides):
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", [*overrides, "run_dir=/nowhere"])
    check_values(cfg, "train")
    return cfg


def build(cfg):
    try:
        return build_model(cfg.model)
    except InstantiationException as e:
        raise e.__cause__ from None


def one_step(model, shape, levels):
    if levels is None:
        x = torch.randn(4, *shape)
    else:
        x = torch.randint(0, levels, (4, *shape), dtype=torch.uint8)
    if isinstance(model, InitializesFromData):
        model.initialize(x)
    optimizer = model._optimizer(model.parameters())
    before = [p.detach().clone() for p in model.parameters()]
    model.loss(x)["loss"].mean().backward()
    optimizer.step()
    assert all(p.isfinite().all() for p in model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


CONTINUOUS = ("gaussian", "nice", "realnvp")
REFUSED = {  # and what the message proposes
    ("fvsbn", data): "likelihood=discretized_logistic"
    for data in ("cifar10", "folder", "olivetti")
} | {
    ("gaussian", "dsprites"): "use smaller images",
    ("gaussian", "folder"): "use smaller images",
    ("gaussian", "olivetti"): "use smaller images",
    ("transformer", "folder"): "use smaller images or model=pixelcnn",
    ("nice", "toy1d"): "model=realnvp for one dimension",
    ("fvsbn", "text"): "use data.length=39 or less",
    **{
        (f"glow{size}", data): "use model=realnvp"
        for size in ("", "_small", "_tiny")
        for data in ("text", "pairs")
    },
}


NEEDED = {
    **{data: ["data.shape=[3,8,8]"] for data in ("chairs", "shapes3d_like")},
    "arrays": ["data.file=/somewhere", "data.shape=[1,8,8]", "data.levels=17"],
    "folder": ["data.root=/somewhere"],
    "table": ["data.file=/somewhere", "data.shape=[5]"],
    "huggingface": ["data.path=somewhere", "data.size=8"],
}
"""What has no default; and sizes, since images of 64x64 are those of the folder."""


ALL_NETWORKS = "ae"
"""The model that takes each of its networks to all data sets; the others do so with their own one."""

FEW = ("digits", "cifar10", "toy2d")


def networks_of(model):
    """Return the networks that a model can have, its own one first."""
    node = yaml.safe_load((CONF / "model" / f"{model}.yaml").read_text())
    bases = [d for d in node["defaults"] if d in names("model")]
    if bases:
        return networks_of(*bases)
    own = [d["/network"] for d in node["defaults"] if "/network" in d]
    # the U-Net has no code, which the other models need
    others = [n for n in names("network") if n not in own and n != "unet"]
    return own + others if own else [None]


def each_pair_of_model_network_and_data():
    """Yield (model, network, data), in which each pair of two occurs, where it exists."""
    for model in names("model"):
        for i, network in enumerate(networks_of(model)):
            everywhere = i == 0 or model == ALL_NETWORKS
            yield from ((model, network, d) for d in (names("data") if everywhere else FEW))


@functools.cache
def with_model(model, network):
    chosen = [f"network@model.network={network}"] if network else []
    return compose(f"model={model}", *small(model), *chosen)


@functools.cache
def with_data(data):
    return compose(f"data={data}", *NEEDED.get(data, []))


@pytest.mark.parametrize("data", names("data"))
def test_a_choice_of_data_changes_nothing_else(data):
    """So a model and data can be put together without composing each pair."""
    kept, other = (OmegaConf.to_container(with_data(d)) for d in ("digits", data))
    assert kept | {"data": None} == other | {"data": None}


@pytest.mark.parametrize(("model", "network", "data"), each_pair_of_model_network_and_data())
def test_every_model_trains_one_step_on_every_data_set_or_names_the_fix(model, network, data):
    cfg = with_model(model, network)
    cfg.data = with_data(data).data
    check_values(cfg, "train")
    if cfg.data.levels is None and model not in CONTINUOUS:
        with pytest.raises(ValueError, match=r"use model=realnvp"):
            build(cfg)
    elif refusal := REFUSED.get((model, data)):
        with pytest.raises(GdlError, match=refusal):
            build(cfg)
    else:
        one_step(build(cfg), tuple(cfg.data.shape), cfg.data.levels)


@pytest.mark.parametrize("likelihood", names("likelihood"))
@pytest.mark.parametrize("data", ["digits", "binarized_mnist", "cifar10"])
def test_every_likelihood_fits_or_names_the_data_to_use(likelihood, data):
    extra = ["model.encoder.hidden=[8]"]  # 256 logits per value are many
    cfg = compose("model=vae", f"data={data}", f"likelihood@model.likelihood={likelihood}", *extra)
    if likelihood == "bernoulli" and cfg.data.levels != 2:
        with pytest.raises(ValueError, match=r"use data=binarized_mnist"):
            build(cfg)
    else:
        one_step(build(cfg), tuple(cfg.data.shape), cfg.data.levels)


def test_weights_on_the_rate_are_refused_for_an_iwae():
    cfg = compose("model=beta_vae", "model.num_importance_samples=5")
    with pytest.raises(GdlError, match="set beta=1"):
        build(cfg)


@pytest.mark.parametrize("experiment", names("experiment"))
def test_every_experiment_composes_and_builds(experiment, tmp_path):
    # a text that users get themselves
    (tmp_path / "tinyshakespeare.txt").write_text("First Citizen:\n" * 1000)
    cfg = compose(f"experiment={experiment}", f"run_dir={tmp_path}", f"data_dir={tmp_path}")
    build(cfg)
    instantiate(cfg.callbacks)


def test_every_optimizer_and_schedule_builds():
    for name in names("optimizer"):
        model = build(compose("model=transformer", f"optimizer@model.optimizer={name}"))
        model.configure_optimizers()
    for name in names("scheduler"):
        model = build(compose(f"scheduler@model.scheduler={name}"))
        if model._scheduler is not None:
            model._scheduler(model._optimizer(model.parameters()), total_steps=100)


def test_every_trainer_logger_and_callback_config_composes():
    for group in ("trainer", "logger", "callbacks"):
        for name in names(group):
            compose(f"{group}={name}")


def test_configuration_keys_are_the_constructors_arguments():
    """No key is read anywhere else, so every key must be a parameter of its target."""
    import inspect

    from hydra.utils import get_object

    def check(node):
        if not isinstance(node, dict):
            return
        if "_target_" in node:
            parameters = inspect.signature(get_object(node["_target_"])).parameters
            keys = {k for k in node if not k.startswith("_")}
            if node["_target_"].startswith("gdl.models."):
                keys -= {*TRAINING_KEYS}  # these are training's, see build_model
            open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
            assert open_ended or keys <= set(parameters), (node["_target_"], keys)
        for value in node.values():
            check(value)

    for model in names("model"):
        check(OmegaConf.to_container(compose(f"model={model}").model))


def test_there_are_few_yaml_files_beside_those_of_models_and_recipes():
    files = [p.parent.name for p in Path(CONF).rglob("*.yaml")]
    # each measure, corruption and data set has a file, each model one in sweep/space; sweep/wandb is
    # not read by Hydra
    several = ("model", "experiment", "restoration", "disentanglement", "maps", "space", "measure")
    several += ("corruption", "data", "task", "wandb")
    assert sum(folder not in several for folder in files) < 63


def test_searches_for_weights_and_biases_name_existing_keys():
    for file in Path(CONF, "sweep", "wandb").glob("*.yaml"):
        search = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        fixed = {
            k: v.get("value", v.get("min", v.get("values")))
            for k, v in search["parameters"].items()
        }
        first = {k: v[0] if isinstance(v, list) else v for k, v in fixed.items()}
        cfg = compose(*(f"{k}={v}" for k, v in first.items()))
        if search["method"] == "bayes":
            assert OmegaConf.select(cfg, "model.optimizer.lr") == 1e-4
        else:
            assert search["method"] == "grid"
            assert len(search["parameters"]["seed"]["values"]) >= 3
        assert search["metric"] == {"name": "best_val/nll", "goal": "minimize"}
        assert search["program"] == "train.py"


def test_searches_for_weights_and_biases_pass_its_own_validation():
    config = pytest.importorskip(
        "sweeps.config", reason="needs jsonschema, jsonref and, with --no-deps, sweeps"
    )
    files = list(Path(CONF, "sweep", "wandb").glob("*.yaml"))
    assert files
    for file in files:
        search = yaml.safe_load(file.read_text())
        assert config.schema_violations_from_proposed_config(search) == []
        search["metric"]["goal"] = "lowest"
        assert config.schema_violations_from_proposed_config(search)
