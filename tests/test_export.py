"""What `gdl export` writes: the same model, whole or absent, and a card that says what it is."""

import errno
import functools
import json
import os
import re
import sys
from pathlib import Path

import forked
import pytest
import torch
import yaml
from small_models import build_small
from test_old_checkpoints import FOLDER as OLD
from test_old_checkpoints import LOSSES

import gdl
from gdl.capabilities import InitializesFromData
from gdl.commands.resume import with_resume
from gdl.errors import GdlError
from gdl.export import FORMATS, Subject, check_format, subject_of, write_export
from gdl.export.card import code_block, shown
from gdl.export.coders import coders, largest_difference, program_of
from gdl.exported import CONFIG, WEIGHTS, digest_of
from gdl.noise import seed_noise
from gdl.runs.directory import Run

pytest.importorskip("safetensors", reason="the extra export is not installed")
ROOT = Path(__file__).resolve().parent.parent
SHAPE = (1, 8, 8)
CONV = {
    "encoder": functools.partial(gdl.nn.ConvEncoder, channels=4),
    "decoder": functools.partial(gdl.nn.ConvDecoder, channels=4),
    "latent_dim": 4,
}
MLP = {"encoder": gdl.nn.MLPEncoder, "decoder": gdl.nn.MLPDecoder}
LABELS = {"num_classes": 3}
RGB = ((3, 8, 8), 17)
MIXTURE = {"likelihood": gdl.distributions.DiscretizedLogisticMixture}

MODELS = {
    "Autoencoder": ("Autoencoder", SHAPE, 17, {}),
    "Autoencoder, conditional": ("Autoencoder", SHAPE, 17, LABELS),
    "BetaTCVAE": ("BetaTCVAE", SHAPE, 17, {}),
    "DenoisingAutoencoder": ("DenoisingAutoencoder", SHAPE, 17, {}),
    "DenoisingAutoencoder, MLP": ("DenoisingAutoencoder", SHAPE, 17, MLP),
    "FVSBN": ("FVSBN", SHAPE, 2, {}),
    "FactorVAE": ("FactorVAE", SHAPE, 17, {}),
    "Gaussian": ("Gaussian", (3,), None, {}),
    "Glow": ("Glow", *RGB, {"width": 8}),
    "MADE": ("MADE", SHAPE, 17, {}),
    "MADE, conditional": ("MADE", SHAPE, 17, LABELS),
    "NADE": ("NADE", SHAPE, 2, {}),
    "NICE": ("NICE", SHAPE, 17, {}),
    "NICE, odd and conditional": ("NICE", (1, 5, 5), 17, LABELS),
    "NICE, vectors": ("NICE", (2,), None, {}),
    "PixelCNN": ("PixelCNN", SHAPE, 17, {}),
    "PixelCNNpp": ("PixelCNNpp", *RGB, {}),
    "RealNVP": ("RealNVP", SHAPE, 17, {}),
    "RealNVP, vectors": ("RealNVP", (2,), None, {}),
    "Transformer": ("Transformer", SHAPE, 17, {}),
    "Transformer, symbols": ("Transformer", SHAPE, 17, {"tokens": True, "tied": True}),
    "VAE": ("VAE", SHAPE, 17, {}),
    "VAE, Bernoulli": ("VAE", SHAPE, 2, {"likelihood": gdl.distributions.Bernoulli}),
    "VAE, categorical": ("VAE", *RGB, {"likelihood": gdl.distributions.Categorical}),
    "VAE, Gaussian": ("VAE", *RGB, {"likelihood": gdl.distributions.DiscretizedGaussian}),
    "VAE, conditional": ("VAE", SHAPE, 17, LABELS),
    "VAE, label dropout": ("VAE", SHAPE, 17, LABELS | {"label_dropout": 0.1}),
    "VAE, conv and mixture": ("VAE", *RGB, CONV | MIXTURE),
}
"""Class, shape, levels and arguments of each kind of model."""

NO_GRAPHS = {"DenoisingAutoencoder", "Gaussian"}
"""A U-Net, which has no code, and a model that solves a triangular system, which ONNX cannot."""

FAST = ("VAE, conditional", "VAE, conv and mixture")


@functools.cache
def model_of(name):
    """Return a model with weights that a training could have left, none of them at its start."""
    kind, shape, levels, options = MODELS[name]
    torch.manual_seed(0)
    model = build_small(kind, shape, levels, **options)
    if isinstance(model, InitializesFromData):
        model.initialize(images_of(model, 64))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.03 * torch.randn(p.shape))
    return model.eval()


def images_of(model, n):
    generator = torch.Generator().manual_seed(1)
    if model.levels is None:
        return torch.randn(n, *model.shape, generator=generator)
    return torch.randint(model.levels, (n, *model.shape), generator=generator, dtype=torch.uint8)


def inputs_of(model, n):
    y = [torch.arange(n) % model.num_classes] if model.num_classes else []
    return images_of(model, n), *y


def subject(name="VAE", **facts):
    model = model_of(name)
    return Subject(model, {"model": model.description()}, facts.get("metrics", {}), {})


def some(names, fast):
    return [n if n in fast else pytest.param(n, marks=pytest.mark.slow) for n in names]


def with_graphs(fast):
    names = [n for n in MODELS if hasattr(getattr(gdl.models, MODELS[n][0]), "decode")]
    return some([n for n in names if n not in NO_GRAPHS], fast)


# ---- the same model


@pytest.mark.parametrize("name", MODELS)
def test_safetensors_come_back_bit_for_bit(name, tmp_path):
    model = model_of(name)
    write_export(subject(name), "safetensors", tmp_path / "x")
    for spec in (tmp_path / "x", tmp_path / "x" / WEIGHTS):
        other = gdl.load(spec, device="cpu")
        assert not other.training
        assert type(other) is type(model)
        for key, value in model.state_dict().items():
            own = other.state_dict()[key]
            assert own.dtype == value.dtype, key
            assert torch.equal(own, value), key
        found = []
        for m in (model, other):
            seed_noise(torch.device("cpu"), "export")
            with torch.inference_mode():
                found.append(m.loss(*inputs_of(m, 3))["loss"])
        assert torch.equal(*found)


def test_tied_and_half_weights_are_kept(tmp_path):
    model = build_small("VAE", SHAPE, 17).bfloat16()
    model.decoder.net[2].bias = model.decoder.net[0].bias
    model.offset.data = torch.randn(2, 8, 8).bfloat16().transpose(1, 2)
    write_export(
        Subject(model, {"model": model.description()}, {}, {}), "safetensors", tmp_path / "x"
    )
    other = gdl.load(tmp_path / "x", device="cpu")
    for key, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[key].float(), value.float())


@pytest.mark.parametrize("name", with_graphs(FAST))
def test_onnx_computes_what_the_model_does(name, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    model = model_of(name)
    written = write_export(subject(name), "onnx", tmp_path / "x")
    encoder, decoder = (
        runtime.InferenceSession(tmp_path / "x" / f"{n}.onnx") for n in ("encoder", "decoder")
    )
    assert {i.name for i in encoder.get_inputs()} == {"x", *(["y"] if model.num_classes else [])}
    for size in (1, 2, 9):
        x, *y = inputs_of(model, size)
        feed = {"y": y[0].numpy()} if y else {}
        mean, *more = encoder.run(None, {"x": x.numpy(), **feed})
        (image,) = decoder.run(["image"], {"z": mean, **feed})
        with torch.inference_mode():
            own = model.encode(x, *y)
            assert_near(mean, own)
            assert_near(image, model.decode(own, *y))
            if more:
                assert_near(more[0], model.posterior(x, *y)[1])
    assert len(written.notes) == 2
    no_paths(tmp_path / "x")


@pytest.mark.parametrize("name", with_graphs(FAST[:1]))
def test_graphs_of_pytorch_compute_what_the_model_does(name, tmp_path):
    model = model_of(name)
    write_export(subject(name), "torch", tmp_path / "x")
    encoder, decoder = (
        torch.export.load(tmp_path / "x" / f"{n}.pt2").module() for n in ("encoder", "decoder")
    )
    for size in (1, 2, 9):
        x, *y = inputs_of(model, size)
        with torch.inference_mode():
            own = model.encode(x, *y)
            assert_near(encoder(x, *y)[0], own)
            assert_near(decoder(own, *y)[0], model.decode(own, *y))
    other = gdl.load(tmp_path / "x", device="cpu")
    state = torch.load(tmp_path / "x" / "model.pt", weights_only=True)["state_dict"]
    for key, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)
        assert torch.equal(state[key], value)
    no_paths(tmp_path / "x")


def assert_near(a, b):
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    assert a.shape == b.shape
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def no_paths(folder):
    for path in folder.iterdir():
        assert str(ROOT).encode() not in path.read_bytes(), path


def test_the_label_changes_what_is_encoded_and_decoded():
    for coder in coders(model_of("VAE, conditional"), ""):
        first, *_ = coder.inputs.values()
        same = first[:1].expand(3, *first.shape[1:])
        found = coder.module(same, torch.arange(3))[0]
        assert (found[0] - found[1]).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("VAE, conditional", (0, 2)),
        ("VAE, label dropout", (-1, 0, 2)),
        pytest.param("Autoencoder, conditional", (0, 2), marks=pytest.mark.slow),
        # a flow does not look at y
        pytest.param("NICE, odd and conditional", (-7, -1, 0, 2, 3, 99), marks=pytest.mark.slow),
    ],
)
def test_a_label_that_the_model_has_not_gives_nan(name, accepted):
    y = torch.tensor([-7, -1, 0, 2, 3, 99])
    for coder in coders(model_of(name), ""):
        x = next(iter(coder.inputs.values()))[:6]
        program = program_of(coder).module()
        for out in (*coder.module(x, y), *program(x, y)):
            finite = out.isfinite().flatten(1)
            assert {*y[finite.all(1)].tolist()} == {*accepted}
            assert torch.equal(finite.all(1), finite.any(1))


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_a_file_that_computes_something_else_is_refused(wrong):
    coder = coders(model_of("VAE"), "")[0]
    assert largest_difference(coder, lambda inputs: [*coder.call(inputs)]) == 0
    with pytest.raises(GdlError, match="computes another mean"):
        largest_difference(coder, lambda inputs: [t + wrong for t in coder.call(inputs)])


@pytest.mark.parametrize("name", ["MADE", "Transformer", "DenoisingAutoencoder"])
def test_a_model_without_latents_has_no_graphs(name, tmp_path):
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    with pytest.raises(GdlError, match="format=safetensors"):
        write_export(subject(name), "onnx", tmp_path / "x")
    assert [*tmp_path.iterdir()] == []
    written = write_export(subject(name), "torch", tmp_path / "x")
    assert {*written.files} == {"model.pt", CONFIG}
    gdl.load(tmp_path / "x", device="cpu")


@pytest.mark.slow
def test_what_onnx_cannot_express_is_a_sentence(tmp_path):
    with pytest.raises(GdlError, match="ONNX cannot express the decoder"):
        write_export(subject("Gaussian"), "onnx", tmp_path / "x")


# ---- files that are damaged, or a stranger's


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "x"
    write_export(subject(), "safetensors", path)
    return {p.name: p.read_bytes() for p in path.iterdir()}


def edited(content, **changes):
    return json.dumps(json.loads(content) | changes).encode()


def signed(weights, config):
    """Return files whose digest is right, as a stranger would write them."""
    import hashlib

    found = {"file": WEIGHTS, "sha256": hashlib.sha256(weights).hexdigest()}
    return {WEIGHTS: weights, CONFIG: edited(config, weights=found)}


def other_table(weights, change):
    """Return weights with another table in front."""
    length = int.from_bytes(weights[:8], "little")
    table = json.loads(weights[8 : 8 + length])
    change(table)
    text = json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + weights[8 + length :]


def rename(table):
    table["other"] = table.pop("offset")


def reshape(table):
    table["offset"]["shape"] = [8, 8, 1, 1]


def overlap(table):
    table["decoder.net.0.bias"]["data_offsets"] = table["decoder.net.2.bias"]["data_offsets"]


def enlarge(table):
    table["offset"] = {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}


def model_config(config, **changes):
    own = json.loads(config)["gdl_config"]
    return edited(config, gdl_config=own | {"model": own["model"] | changes})


BAD = {
    "cut off": lambda w, c: {WEIGHTS: w[: len(w) // 2]},
    "cut in the table": lambda w, c: {WEIGHTS: w[:100]},
    "empty": lambda w, c: {WEIGHTS: b""},
    "a changed bit": lambda w, c: {WEIGHTS: w[:-5] + bytes([w[-5] ^ 1]) + w[-4:]},
    "longer": lambda w, c: signed(w + b"0", c),
    "a huge table": lambda w, c: signed((2**62).to_bytes(8, "little") + w[8:], c),
    "a table that is no JSON": lambda w, c: signed(w[:8] + b"x" + w[9:], c),
    "a tensor of another name": lambda w, c: signed(other_table(w, rename), c),
    "a tensor of another shape": lambda w, c: signed(other_table(w, reshape), c),
    "tensors that share bytes": lambda w, c: signed(other_table(w, overlap), c),
    "a tensor larger than the file": lambda w, c: signed(other_table(w, enlarge), c),
    "a pickle": lambda w, c: signed(b"cos\nsystem\n(S'touch pwned'\ntR.", c),
    "no configuration": lambda w, c: {CONFIG: None},
    "a configuration that is no JSON": lambda w, c: {CONFIG: c[:50]},
    "a configuration that is a list": lambda w, c: {CONFIG: b"[]"},
    "a configuration that is deep": lambda w, c: {CONFIG: b"[" * 10**5},
    "a configuration without a model": lambda w, c: {CONFIG: edited(c, gdl_config={})},
    "a model that is a text": lambda w, c: {CONFIG: edited(c, gdl_config={"model": "x"})},
    "other weights": lambda w, c: {CONFIG: edited(c, weights={"sha256": "0"})},
    "weights that are a list": lambda w, c: {CONFIG: edited(c, weights=[])},
    "a call": lambda w, c: {
        CONFIG: model_config(c, encoder={"_target_": "os.system", "command": "touch pwned"})
    },
    "a class that is no model": lambda w, c: {
        CONFIG: edited(c, gdl_config={"model": {"_target_": "gdl.nn.UNet"}})
    },
    "another size": lambda w, c: {CONFIG: model_config(c, latent_dim=7)},
    "a size without an end": lambda w, c: {CONFIG: model_config(c, latent_dim=10**13)},
    "an argument that is not there": lambda w, c: {CONFIG: model_config(c, x=1)},
    "a text that would be resolved": lambda w, c: {CONFIG: model_config(c, beta="${oc.env:HOME}")},
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_export_is_refused_in_a_sentence(bad, exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "x"
    folder.mkdir()
    for name, content in (exported | BAD[bad](exported[WEIGHTS], exported[CONFIG])).items():
        if content is not None:
            (folder / name).write_bytes(content)
    with pytest.raises(GdlError) as caught:
        gdl.load(folder, device="cpu")
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


def test_a_pipe_is_not_waited_for(exported, tmp_path):
    (tmp_path / CONFIG).write_bytes(exported[CONFIG])
    os.mkfifo(tmp_path / WEIGHTS)
    with pytest.raises(GdlError):
        gdl.load(tmp_path / WEIGHTS, device="cpu")


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_library_is_a_sentence(name, exported, tmp_path, monkeypatch):
    for library in ("safetensors", "safetensors.torch", "onnxruntime"):
        monkeypatch.setitem(sys.modules, library, None)
    if name == "torch":  # needs none
        return
    with pytest.raises(GdlError, match=re.escape("pip install 'gdl[export]'")):
        write_export(subject(), name, tmp_path / "x")
    assert [*tmp_path.iterdir()] == []
    for file, content in exported.items():
        (tmp_path / file).write_bytes(content)
    with pytest.raises(GdlError, match=re.escape("pip install 'gdl[export]'")):
        gdl.load(tmp_path, device="cpu")


# ---- the folder


def test_a_folder_is_whole_or_absent(tmp_path, monkeypatch):
    def fails(subject, folder):
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setitem(FORMATS, "onnx", fails)
    with pytest.raises(KeyboardInterrupt):
        write_export(subject(), "onnx", tmp_path / "x")
    assert [*tmp_path.iterdir()] == []


def test_what_is_there_is_kept(tmp_path):
    (tmp_path / "empty").mkdir()
    write_export(subject(), "safetensors", tmp_path / "empty")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("empty", "file", "link", "none/x"):
        with pytest.raises(GdlError, match=r"out=|There is no folder"):
            write_export(subject(), "safetensors", tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"
    assert {p.name for p in tmp_path.iterdir()} == {"empty", "file", "link"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("safetensor", "safetensors?"),
        ("ONNX", "onnx?"),
        ("gguf", "use safetensors, onnx or torch"),
    ],
)
def test_an_unknown_format_names_the_nearest(name, hint):
    with pytest.raises(GdlError, match=re.escape(hint)):
        check_format(name)


@pytest.mark.parametrize("name", ["safetensors", "torch"])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(name, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write does, without a name

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GdlError, match=r"No space left on device.*out="):
        write_export(subject("MADE"), name, tmp_path / "x")
    assert [*tmp_path.iterdir()] == []


def test_a_folder_without_a_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (Path("."), Path("/")):
        with pytest.raises(GdlError, match="name"):
            write_export(subject(), "safetensors", path)
    assert tmp_path.is_dir()


# ---- numbers and texts

METRICS = {
    "model": "vae",
    "data": "digits",
    "kind": "bound",
    "test/bpd": 2.5,
    "test/nll": 110.904,
    "iwae-100/bpd": 2.25,
    "iwae-100/nll": 99.8,
    "test/rate": 12.25,
    "train_seconds": 120.0,
}


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_card_has_the_numbers_with_their_kinds(tmp_path):
    write_export(subject(metrics=METRICS), "safetensors", tmp_path / "x")
    text = (tmp_path / "x" / "README.md").read_text()
    assert "| 2.5000 | 110.90 | bound |" in text
    assert "| 2.2500 | 99.80 | iwae-100 |" in text
    assert "- rate 12.25" in text
    assert "2.0 minutes" in text
    assert 'gdl.load("FOLDER")' in text
    (entry,) = front_matter(text)["model-index"]
    (number,) = entry["results"][0]["metrics"]
    assert number == {"type": "bits-per-dim", "name": "bits/dim (bound)", "value": 2.5}
    assert Run(tmp_path / "x").metrics() == METRICS


def test_a_part_of_the_data_is_no_result(tmp_path):
    metrics = METRICS | {"limited_by": "limit_test_batches=1"}
    write_export(subject(metrics=metrics), "safetensors", tmp_path / "x")
    text = (tmp_path / "x" / "README.md").read_text()
    assert "no results, because it ran with limit\\_test\\_batches=1" in text
    assert "model-index" not in front_matter(text)


EVIL = "a|b `c` <script>alert(1)</script>\n# d [e](http://f) *g* | ```\n---\n\x1b[31m"


def test_texts_of_strangers_are_shown_as_they_are(tmp_path):
    model = model_of("VAE")
    record = {"commands": [EVIL], "git_commit": EVIL, "hardware": {"cpu": EVIL}, "started": EVIL}
    metrics = METRICS | {
        "data": EVIL,
        "kind": EVIL,
        "data/digest": EVIL,
        "data/binarization": EVIL,
    }
    own = Subject(model, {"model": model.description()}, metrics, record)
    write_export(own, "safetensors", tmp_path / "x")
    text = (tmp_path / "x" / "README.md").read_text()
    assert front_matter(text)["model-index"][0]["results"][0]["dataset"]["name"] == EVIL
    body = text[text.index("# VAE") :]
    blocks = re.findall(r"^(`{3,})[a-z]*\n.*?^\1$", body, flags=re.M | re.S)
    outside = re.sub(r"^(`{3,})[a-z]*\n.*?^\1$", "", body, flags=re.M | re.S)
    assert len(blocks) == 2
    assert "\x1b" not in text
    assert not re.search(r"(?<!\\)<script|(?<!\\)\[e|(?<!\\)\*g|^# d|http://", outside, flags=re.M)
    rows = [line for line in outside.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}


def blocks_of(folder, language):
    text = (folder / "README.md").read_text()
    return [
        m[2] for m in re.finditer(rf"^(`{{3,}}){language}\n(.*?)^\1$", text, flags=re.M | re.S)
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("VAE", "safetensors"),
        ("VAE, conditional", "onnx"),
        pytest.param("VAE, conditional", "torch", marks=pytest.mark.slow),
        pytest.param("NICE, vectors", "onnx", marks=pytest.mark.slow),
    ],
)
def test_the_code_in_a_card_runs_as_it_stands(name, kind, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    write_export(subject(name), kind, tmp_path / "x")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks_of(tmp_path / "x", "python")
    found = {}
    exec(code.replace("FOLDER", "x"), found)
    if "image" in found:
        assert found["image"].shape == (2, *model_of(name).shape)


def test_the_card_names_every_package_that_is_to_be_trusted():
    model = model_of("VAE")
    config = model.description()
    config["encoder"] = [{"_target_": "mylab.nets.Encoder"}, {"_target_": "other.f"}]
    found = Subject(model, {"model": config}, {}, {})
    assert 'gdl.load("FOLDER", trust="mylab,other")' in found.load_call()
    assert "trust" not in subject().load_call()


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\x00\x1b", "é \U0001f600"])
def test_any_text_of_json_can_be_written(text, tmp_path):
    record = {"commands": [text], "hardware": {text: text}, "started": text}
    own = Subject(model_of("VAE"), {"model": model_of("VAE").description()}, {}, record)
    own.metrics.update(METRICS, data=text, kind=text)
    write_export(own, "safetensors", tmp_path / "x")
    assert Run(tmp_path / "x").record_facts() == record
    assert Run(tmp_path / "x").metrics()["kind"] == text
    (result,) = front_matter((tmp_path / "x" / "README.md").read_text())["model-index"]
    assert "dataset" in result["results"][0]


def test_code_blocks_end_where_their_text_does():
    assert code_block("a ````` b\n```").startswith("``````\n")
    assert shown("|") == "\\|"


# ---- runs


def old(name, folder):
    import gzip

    path = folder / "best.ckpt"
    path.write_bytes(gzip.decompress((OLD / f"{name}.ckpt.gz").read_bytes()))
    return path


@pytest.mark.parametrize("name", some(LOSSES, ("nice", "vae_gaussian")))
def test_an_old_checkpoint_is_exported(name, tmp_path):
    path = old(name, tmp_path)
    _, found = subject_of(str(path))
    write_export(found, "safetensors", tmp_path / "x")
    a, b = gdl.load(path, device="cpu"), gdl.load(tmp_path / "x", device="cpu")
    for key, value in a.state_dict().items():
        assert torch.equal(b.state_dict()[key], value)
    assert a.config["data"] == b.config["data"]


def test_an_export_of_an_export_is_the_same(tmp_path):
    write_export(subject(metrics=METRICS), "safetensors", tmp_path / "x")
    _, found = subject_of(str(tmp_path / "x"))
    write_export(found, "safetensors", tmp_path / "again")
    for path in (tmp_path / "x").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_numbers_are_those_of_the_weights_that_were_tested(tmp_path):
    run = Run(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    path = old("vae_gaussian", run.checkpoints)
    (run.checkpoints / "last.ckpt").write_bytes(path.read_bytes())
    run.note_facts(model="vae")
    run.merge_metrics(METRICS)
    for spec in (run.path, path):
        assert subject_of(str(spec))[1].metrics == METRICS
    assert subject_of(str(run.checkpoints / "last.ckpt"))[1].metrics == {}


@pytest.mark.parametrize(("value", "known"), [(12.5, True), (12.25, False)])
def test_numbers_of_an_earlier_best_checkpoint_are_left_out(value, known, tmp_path):
    """As while `resume=` trains a tested run further."""
    run = Run(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    path = old("vae_gaussian", run.checkpoints)
    content = torch.load(path, weights_only=True)
    best = {"monitor": "val/nll", "value": value, "step": 1}
    torch.save(content | {"gdl_best": best}, path)
    run.note_facts(model="vae")
    run.merge_metrics(METRICS | {"best_val/nll": 12.5})
    assert bool(subject_of(str(run.path))[1].metrics) == known


def test_an_export_is_a_run_for_other_commands(tmp_path):
    _, found = subject_of(str(old("vae_gaussian", tmp_path)))
    write_export(found, "safetensors", tmp_path / "x")
    assert gdl.load_data(tmp_path / "x").shape == found.model.shape
    run = Run(tmp_path / "x")
    run.note_command()  # as sample and evaluate do
    assert run.checkpoint("best").name == WEIGHTS
    assert digest_of(run.checkpoint("best")) == digest_of(tmp_path / "x" / WEIGHTS)
    with pytest.raises(GdlError, match="weights only"):
        with_resume([f"resume={tmp_path / 'x'}"])


WRITES = {"safetensors": {WEIGHTS}, "onnx": {"encoder.onnx", "decoder.onnx"}}


@pytest.mark.parametrize("name", some(WRITES, ("safetensors",)))
def test_the_command_writes_and_prints(name, tmp_path):
    old("vae_gaussian", tmp_path)
    export = functools.partial(forked.gdl, "export", "run=best.ckpt", f"format={name}", "out=x")
    done = export(cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {p.name for p in (tmp_path / "x").iterdir()} == {CONFIG, "README.md", *WRITES[name]}
    assert all(
        re.match(r"The \w+ was compared|[\w.]+: ", line) for line in done.stdout.splitlines()
    )
    again = export(cwd=tmp_path)
    assert again.returncode == 1
    assert again.stderr == "error: x exists already: remove it, or name another out=.\n"
