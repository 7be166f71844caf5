"""data=table: rows of numbers as they are in the file, splits, and what is refused or said."""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gdl.data.table import Table
from gdl.data.table_columns import grid_steps
from gdl.data.table_files import table_shape
from gdl.errors import GdlError
from gdl.families.flow import FlowModel
from gdl.models import NICE, Gaussian, RealNVP

SPLITS = ("train", "val", "test")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)) * [1, 1e4, 1e-4] + [0, 5e4, 1]
Y = np.arange(60) % 2


def table(path: Path, label: str | None = None, drop: tuple = (), **options: Any) -> Table:
    shape = table_shape(str(path), label, drop, options.get("columns"))
    return Table(str(path), shape, label=label, drop=drop, **options)


def rows(data: Table) -> list[list[float]]:
    return sorted(torch.cat([data.images(s) for s in SPLITS]).tolist())


def csv_file(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "x.csv"
    path.write_bytes(text.encode(encoding))
    return path


def csv_of(x: np.ndarray, separator: str = ",") -> str:
    return "".join(separator.join(map(repr, map(float, row))) + "\n" for row in x)


NAMES = "a,b,c\n"
LAYOUTS = {
    "names": NAMES + csv_of(X),
    "no names": csv_of(X),
    "semicolons": "a;b;c\n" + csv_of(X, ";"),
    "tabs": csv_of(X, "\t"),
    "quotes": '"a, or b",b,"c"\n' + csv_of(X),
    "blank lines and spaces": NAMES + csv_of(X, " , ") + "\n\n",
    "ends of lines of windows": (NAMES + csv_of(X)).replace("\n", "\r\n"),
    "a mark of the encoding": "\ufeff" + NAMES + csv_of(X),
}
ARRAYS = {
    "one array": {"anything": X},
    "X and y": {"y": Y, "X": X},
    "by columns": {"X": np.asfortranarray(X)},
    "half precision": {"X": X.astype(np.float32)},
}


@pytest.mark.parametrize("layout", [*LAYOUTS, *ARRAYS, "npy"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, layout: str) -> None:
    if layout in LAYOUTS:
        path = csv_file(tmp_path, LAYOUTS[layout])
    elif layout in ARRAYS:
        np.savez(path := tmp_path / "x.npz", **ARRAYS[layout])
    else:
        np.save(path := tmp_path / "x.npy", X)
    data = table(path)
    assert data.images("train").dtype == torch.float32
    assert rows(data) == sorted(X.astype(np.float32).tolist())
    assert [len(data.images(s)) for s in SPLITS] == [48, 6, 6]
    assert sum(map(len, data.train_dataloader())) == 48
    named = layout in LAYOUTS and "b" in LAYOUTS[layout]
    assert data.facts()["columns"][1] == ("b" if named else "2")


def test_splits_are_the_seeds_and_training_rows_are_in_random_order(tmp_path: Path) -> None:
    np.save(path := tmp_path / "x.npy", np.arange(1000.0)[:, None])
    data, again, other = (table(path, split_seed=s) for s in (0, 0, 1))
    assert torch.equal(data.images("test"), again.images("test"))
    assert not torch.equal(data.images("test"), other.images("test"))
    assert data.digest() == again.digest() != other.digest()
    assert rows(data) == [[float(i)] for i in range(1000)]
    # a model looks at the first rows only; they must not be those of the beginning of the file
    assert abs(float(data.images("train")[:300].mean()) - 500) < 100


def test_labels_are_a_column_or_an_array(tmp_path: Path) -> None:
    kinds = ["good", "bad"]
    lines = [",".join([*map(repr, map(float, x)), kinds[y]]) for x, y in zip(X, Y, strict=True)]
    data = table(csv_file(tmp_path, "a,b,c,kind\n" + "\n".join(lines)), "kind")
    assert data.facts()["class_names"] == ["bad", "good"]
    np.savez(tmp_path / "x.npz", X=X, y=1 - Y)
    for split in SPLITS:
        expected = table(tmp_path / "x.npz").labels(split)
        assert torch.equal(data.labels(split), expected)
    np.savez(tmp_path / "x.npz", X=X, other=1 - Y)
    assert torch.equal(table(tmp_path / "x.npz", "other").labels("val"), data.labels("val"))


def test_constant_columns_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.insert(X, 1, 7.0, axis=1)
    data = table(csv_file(tmp_path, "a,fixed,b,c\n" + csv_of(x)))
    assert rows(data) == sorted(X.astype(np.float32).tolist())
    assert data.facts()["columns"] == ["a", "b", "c"]
    assert "left out, because all values are equal: column fixed." in capsys.readouterr().out


def test_columns_are_left_out_by_name_or_number(tmp_path: Path) -> None:
    lines = [f"{a!r},{b!r},some text,{c!r}" for a, b, c in X.tolist()]
    data = table(csv_file(tmp_path, "a,b,name,c\n" + "\n".join(lines)), drop=("name", "b"))
    assert rows(data) == sorted(X[:, [0, 2]].astype(np.float32).tolist())
    np.save(tmp_path / "x.npy", X)
    assert rows(table(tmp_path / "x.npy", drop=("2",))) == rows(data)


def test_other_rows_have_the_columns_of_the_first_table(tmp_path: Path) -> None:
    new = csv_file(tmp_path, "c,id,b,a\n5,x,2,1\n5,y,3,1\n")
    data = table(new, columns=["a", "b", "c"])
    assert data.images("test").tolist() == [[1.0, 2.0, 5.0], [1.0, 3.0, 5.0]]
    assert [len(data.images(s)) for s in SPLITS] == [0, 0, 2]
    assert len(data.digest()) == 64
    with pytest.raises(GdlError, match=r"leaves none for training.*data\.drop"):
        data.setup("fit")
    with pytest.raises(GdlError, match="has no column d: it has c, id, b, a"):
        table(new, columns=["a", "d"])
    with pytest.raises(GdlError, match="column id is x, which is no number in line 2"):
        table(new, columns=["id"])


BAD_CELLS = {
    "": "column b has no value in line 3",
    "NA": "column b has no value in line 3",
    "?": "column b has no value in line 3",
    "nan": "column b has no value in line 3",
    "red": "column b is red, which is no number in line 3: .*data.label=b",
    "1e999": "column b is 1e999 in line 3: write a finite number",
    "-inf": "column b is -inf in line 3",
    "\x1b[2J": r"column b is \\x1b\[2J, which is no number",
}


@pytest.mark.parametrize("cell", BAD_CELLS)
def test_a_bad_value_is_refused_by_column_and_line(tmp_path: Path, cell: str) -> None:
    path = csv_file(tmp_path, f"a,b\n1,2\n3,{cell}\n5,6\n")
    with pytest.raises(GdlError, match=BAD_CELLS[cell]) as refused:
        table(path)
    assert "data.drop=[b]" in str(refused.value)
    assert "\n" not in str(refused.value)


BAD_FILES = {
    "empty": ("", "is empty"),
    "blank": ("\n\n", "is empty"),
    "names only": ("a,b\n", "no rows"),
    "ragged": ("a,b\n1,2\n3\n", "has 1 fields in line 3, and 2 in the first"),
    "twice": ("a,a\n1,2\n", "two columns called a"),
    "all constant": ("a,b\n1,2\n1,2\n", "no column with different values"),
    "decimal commas": ("a;b\n1,5;2\n2,5;3\n", "write a point in place of the comma"),
    "an open quote": ('a,b\n"1,2\n3,4\n', "no CSV file"),
    "zeros": ("a,b\n1,\0\n3,4\n", "is .*, which is no number"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_csv_file_is_refused_with_a_sentence(tmp_path: Path, kind: str) -> None:
    text, message = BAD_FILES[kind]
    with pytest.raises(GdlError, match=message):
        table(csv_file(tmp_path, text))


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GdlError, match="UTF-8"):
        table(csv_file(tmp_path, "größe,b\n1,2\n2,3\n", "latin-1"))


BAD_ARRAYS = {
    "a missing value": ({"X": np.where(X > 1e5, X, np.nan)}, "column 1 is nan in row 1"),
    "text": ({"X": np.array([["a"], ["b"]])}, "not of numbers"),
    "images": ({"X": np.zeros((4, 2, 2))}, r"has shape \(4, 2, 2\)"),
    "no rows": ({"X": np.zeros((0, 2))}, "has shape"),
    "labels of other rows": ({"X": X, "y": Y[:-1]}, "the labels of 60 rows"),
    "labels in between": ({"X": X, "y": Y + 0.5}, "whole numbers"),
    "names unknown": ({"a": X, "b": X}, "name the rows X"),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_bad_arrays_are_refused_with_a_sentence(tmp_path: Path, kind: str) -> None:
    arrays, message = BAD_ARRAYS[kind]
    np.savez(path := tmp_path / "x.npz", **arrays)
    with pytest.raises(GdlError, match=message):
        table(path)


class Evil:
    def __reduce__(self) -> tuple:
        return (Path("evil").touch, ())


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.csv"])
def test_nothing_in_a_file_runs(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    array = np.array([Evil(), Evil()], dtype=object)
    if name == "x.npz":
        np.savez(name, X=array, allow_pickle=True)
    elif name == "x.npy":
        np.save(name, array, allow_pickle=True)
    else:
        Path(name).write_bytes(pickle.dumps(array))
    with pytest.raises(GdlError):
        table(Path(name))
    assert not Path("evil").exists()


def test_numbers_that_float32_cannot_hold_are_refused_by_name(tmp_path: Path) -> None:
    times = X.copy()
    times[:, 1] = 1.7e9 + np.arange(60)
    with pytest.raises(GdlError, match=r"column b varies by .* which float32 rounds away"):
        table(csv_file(tmp_path, NAMES + csv_of(times))).setup()
    with pytest.raises(GdlError, match=r"column c has values up to .* another unit"):
        table(csv_file(tmp_path, NAMES + csv_of(X * [1, 1, 1e20]))).setup()


def test_a_column_that_is_constant_in_training_only_is_refused(tmp_path: Path) -> None:
    np.save(path := tmp_path / "x.npy", X)
    tested = table(path).images("test")[0]
    x = X.copy()
    x[:, 0] = (X.astype(np.float32) == tested.numpy()).all(1)
    np.save(path, x)
    with pytest.raises(GdlError, match=r"column 1 has one value in all 48 training rows"):
        table(path).setup()


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GdlError, match="holds 3 rows, too few"):
        table(csv_file(tmp_path, "a\n1\n2\n3\n")).setup()


# ---- whole and rounded numbers


def test_whole_and_rounded_numbers_are_found() -> None:
    n = 400
    columns = {
        "whole": (RNG.integers(0, 9, n), 1),
        "tens": (10 * RNG.integers(0, 9, n), 10),
        "two values": (np.where(RNG.random(n) < 0.5, 0.3, 1.7), 1.4),
        "rounded": (RNG.normal(size=n).round(1), 0.1),
        "real": (RNG.normal(size=n), 0),
        "an index": (np.arange(n), 0),
        "real, with zeros": (np.maximum(RNG.normal(size=n), 0), 0),
    }
    steps = grid_steps(np.stack([column for column, _ in columns.values()], 1))
    assert steps == pytest.approx([step for _, step in columns.values()])


def test_a_density_without_bound_is_said_and_noise_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.c_[X[:, 0], RNG.integers(0, 3, 60), np.maximum(X[:, 0], 0)]
    path = csv_file(tmp_path, "real,whole,zeros\n" + csv_of(x))
    table(path).setup()
    told = capsys.readouterr().err
    assert "column whole hold whole or rounded numbers" in told
    assert "column zeros have one value in a tenth of the rows" in told
    data = table(path, dequantize=True, batch_size=60)
    data.setup()
    assert "whole or rounded" not in capsys.readouterr().err
    for split in SPLITS:
        found, plain = data.images(split), table(path).images(split)
        assert torch.equal(found[:, [0, 2]], plain[:, [0, 2]])
        assert torch.equal(found[:, 1].round(), plain[:, 1])
        assert (found[:, 1] != plain[:, 1]).all()
        assert torch.equal(found, table(path, dequantize=True).images(split))
    first, second = (next(iter(data.train_dataloader())) for _ in range(2))
    assert torch.equal(first, second)  # of one epoch
    assert first[:, 1].unique().numel() == 48


def test_noise_is_in_deviations_of_a_column_and_on_training_rows_only(tmp_path: Path) -> None:
    np.save(path := tmp_path / "x.npy", RNG.normal(size=(4000, 2)) * [1, 100])
    plain, noisy = table(path), table(path, noise=0.5)
    change = noisy.images("train") - plain.images("train")
    torch.testing.assert_close(change.std(0), torch.tensor([0.5, 50.0]), rtol=0.1, atol=0)
    assert torch.equal(noisy.images("test"), plain.images("test"))
    assert noisy.digest() == plain.digest()


# ---- units

UNITS = torch.tensor([10.0, 1e-3, 1e4, 1.0, 3.0])
SHIFT = torch.tensor([0.0, 1.0, -5e3, 7.0, 0.0])
MODELS = {
    "gaussian": lambda d: Gaussian((d,), None),
    "nice": lambda d: NICE((d,), None, hidden=[8], standardize=True),
    "realnvp": lambda d: RealNVP((d,), None, hidden=[8], standardize=True),
    "whitened": lambda d: RealNVP((d,), None, hidden=[8], standardize=True, whiten=True),
    "mixture": lambda d: RealNVP((d,), None, hidden=[8], coupling="mixture", standardize=True),
}


def trained(name: str, x: torch.Tensor) -> FlowModel:
    torch.manual_seed(0)
    model = MODELS[name](x.shape[1]).double()
    model.initialize(x)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        model.loss(x)["loss"].mean().backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("name", MODELS)
def test_other_units_move_the_nll_by_their_logs_and_change_nothing_else(name: str, d: int) -> None:
    if name == "nice" and d == 1:
        pytest.skip("NICE has no halves of one dimension")
    x = torch.randn(200, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:, -1] = x[:, -1].exp()
    scale, shift = UNITS[:d].double(), SHIFT[:d].double()
    other = x * scale + shift
    model, moved = trained(name, x), trained(name, other)
    expected = model.nll(x) + scale.log().sum()
    torch.testing.assert_close(moved.nll(other), expected, rtol=0, atol=1e-5)
    draws = model.sample(20, seed=1) * scale + shift
    torch.testing.assert_close(moved.sample(20, seed=1), draws, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_gaussian_starts_at_the_maximum_of_the_likelihood() -> None:
    torch.manual_seed(0)
    mix = torch.randn(3, 3) + 2 * torch.eye(3)
    x = torch.randn(50_000, 3) @ mix + torch.tensor([1.0, -200.0, 0.01])
    model = Gaussian((3,), None)
    model.initialize(x)
    exact = torch.distributions.MultivariateNormal(x.mean(0), x.T.cov(correction=0))
    torch.testing.assert_close(model.log_prob(x), exact.log_prob(x), rtol=1e-3, atol=1e-2)
    z = model.encode(x)
    torch.testing.assert_close(z.T.cov(), torch.eye(3), rtol=0, atol=1e-2)
    draws = model.sample(5000, seed=0)
    torch.testing.assert_close(draws.T.cov(), x.T.cov(), rtol=0.2, atol=0.1)


@torch.no_grad()
@pytest.mark.parametrize("n", [3, 5, 30])
def test_few_and_dependent_rows_have_a_finite_density(n: int) -> None:
    x = torch.randn(n, 10, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 2 * x[:, 0]
    model = Gaussian((10,), None)
    model.initialize(x)
    assert model.log_prob(100 * x).isfinite().all()
    # rows like them, whose directions few rows do not have
    fresh = torch.randn(20, 10, generator=torch.Generator().manual_seed(1))
    fresh[:, 1] = 2 * fresh[:, 0]
    assert model.nll(fresh).max() < 200
    # far from the data, in a direction that they do not have
    odd = torch.zeros(1, 10)
    odd[0, 1] = 30.0
    assert model.nll(x).max() < model.nll(odd) < math.inf
