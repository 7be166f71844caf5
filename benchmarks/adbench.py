"""Anomaly detection in tables: gdl's densities beside classical detectors, on all sets of a folder.

    python benchmarks/adbench.py data_dir=FOLDER [seeds=3] [sets=14_glass,45_wine] [methods=knn,nice]
                                 [rows=10000] [steps=1000] [record=FILE]

The folder holds .npz files of X (N, D) and y (N,), 1 = anomalous, as those of ADBench (Han et al.,
2022, arXiv 2206.09426). A detector sees half of the normal rows, at most `rows` of them, and scores all
other rows; a cell is the mean AUROC over the seeds, each of which divides the rows anew. Every method
has one setting for all sets: that of its library or paper, and for the flows the constants below, which
look at no anomaly: a part of the training rows says when to stop. The score of a density is -log p(x).
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from records import Table, options
from scipy.stats import rankdata
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from gdl.data.table_files import read_table
from gdl.errors import GdlError
from gdl.families.flow import FlowModel
from gdl.models import NICE, Gaussian, RealNVP

Detector = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(training rows, rows to score, seed) -> scores, higher for rows that do not belong."""

Build = Callable[[int, int], FlowModel]
"""(columns, training rows) -> model."""

NOISE, BATCH, RATE, EVERY, PATIENCE, HELD_OUT = 0.1, 256, 1e-3, 50, 5, 0.15
"""Of the flows: noise on training rows in standard deviations; rows in a batch; rate of Adam; steps
between two looks at the rows held out, and looks without progress before the end; the part of these."""


# ---- densities


def train(model: FlowModel, x: torch.Tensor, seed: int, steps: int) -> FlowModel:
    """Train on rows (N, D) with noise, until rows held out, with noise too, no longer gain."""
    generator = torch.Generator().manual_seed(seed)
    spread = NOISE * x.std(0, correction=0)
    noisy = lambda rows: rows + spread * torch.randn(rows.shape, generator=generator)  # noqa: E731
    order = torch.randperm(len(x), generator=generator)
    num_val = max(1, min(2000, round(HELD_OUT * len(x))))
    val, x = x[order[:num_val]], x[order[num_val:]]
    val = noisy(val.repeat(-(-500 // num_val), 1))
    model.initialize(noisy(x))
    optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)
    best, kept, since, done = float("inf"), model.state_dict(), 0, 0
    while True:
        with torch.no_grad():
            nll = float(model.nll(val).mean())
        since += 1
        if nll < best - 1e-3:
            best, since, kept = nll, 0, {k: v.clone() for k, v in model.state_dict().items()}
        if done >= steps or since >= PATIENCE:
            break
        for _ in range(EVERY):
            batch = x[torch.randint(len(x), (min(BATCH, len(x)),), generator=generator)]
            optimizer.zero_grad()
            model.loss(noisy(batch))["loss"].mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            done += 1
    model.load_state_dict(kept)
    return model


def density(build: Build, steps: int) -> Detector:
    """Return a detector by a density; without steps it is what `initialize` makes of the rows."""

    def scores(train_rows: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        model, x = build(rows.shape[1], len(train_rows)), torch.from_numpy(train_rows).float()
        if steps:
            train(model, x, seed, steps)
        else:
            model.initialize(x)
        with torch.inference_mode():
            found = [model.nll(part) for part in torch.from_numpy(rows).float().split(5000)]
        return torch.cat(found).double().nan_to_num(nan=torch.inf).clamp(max=1e30).numpy()

    return scores


FLOWS: dict[str, Build] = {
    "realnvp": lambda d, n: RealNVP(
        [d], None, num_couplings=4 if d > 1 else 1, standardize=True, whiten=n >= 2 * d
    ),
    "nice": lambda d, n: NICE(
        [d], None, hidden=[64, 64], prior="normal", standardize=True, whiten=n >= 2 * d
    ),
}
"""They start at the Gaussian of the rows, if there are enough of them for its covariance."""


# ---- classical detectors, on rows with deviation 1 in each column


def isolation_forest(train_rows: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Isolate rows by random cuts (Liu et al., 2008)."""
    forest = IsolationForest(n_estimators=100, random_state=seed).fit(train_rows)
    return -forest.score_samples(rows)


def knn(train_rows: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Return the distance to the fifth nearest row (Ramaswamy et al., 2000)."""
    return NearestNeighbors(n_neighbors=5).fit(train_rows).kneighbors(rows)[0][:, -1]


def lof(train_rows: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Compare the local density with that of 20 neighbours (Breunig et al., 2000)."""
    fitted = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(train_rows)
    return -fitted.score_samples(rows)


def ecod(train_rows: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Add up tail probabilities of the columns (Li et al., 2022, arXiv 2201.00382, Section 3.3)."""
    n, totals = len(train_rows), np.zeros((3, len(rows)))
    for column, values in zip(train_rows.T, rows.T, strict=True):
        ordered = np.sort(column)
        # a row counts itself, so that none has probability 0
        left = -np.log((np.searchsorted(ordered, values, "right") + 1) / (n + 1))
        right = -np.log((n - np.searchsorted(ordered, values, "left") + 1) / (n + 1))
        is_skewed_left = ((column - column.mean()) ** 3).mean() < 0
        totals += np.stack([left, right, left if is_skewed_left else right])
    return totals.max(0)


CLASSICAL: dict[str, Detector] = {
    "isolation forest": isolation_forest,
    "ECOD": ecod,
    "kNN": knn,
    "LOF": lof,
}


# ---- the comparison


def split(x: np.ndarray, y: np.ndarray, seed: int, most: int) -> tuple[np.ndarray, ...]:
    """Return training rows, other rows and which of these are anomalous.

    The rows are standardized by the training rows; columns that are constant in them are left out.
    """
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(y == 0))
    half = len(normal) // 2
    seen, others = normal[: min(half, most)], np.concatenate([normal[half:], np.flatnonzero(y)])
    varies = (x[seen] != x[seen[0]]).any(0)
    mean, std = x[seen][:, varies].mean(0), x[seen][:, varies].std(0)
    standard = (x[:, varies] - mean) / std
    return standard[seen], standard[others], y[others] != 0


def sets(folder: Path, chosen: str | None) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, rows and labels of each set.

    Raises:
        SystemExit: There are none, or one has no labels, or not both kinds of rows.
    """
    files = sorted(folder.expanduser().glob("*.npz"))
    files = [f for f in files if chosen is None or f.stem in chosen.split(",")]
    if not files:
        raise SystemExit(f"error: no such .npz files in {folder}: set data_dir=FOLDER.")
    for file in files:
        try:
            rows = read_table(str(file))
        except GdlError as e:
            raise SystemExit(f"error: {e}") from e
        if rows.labels is None or not 0 < (rows.labels != 0).mean() < 1:
            raise SystemExit(f"error: {file} needs an array y with 0 and 1, where 1 is anomalous.")
        yield file.stem, rows.values, rows.labels


def main() -> None:
    """Print a row for each set, then means, ranks and times.

    Raises:
        SystemExit: data_dir is not given, or a method is unknown.
    """
    given = options()
    if "data_dir" not in given:
        raise SystemExit("error: set data_dir=FOLDER, a folder with .npz files of X and y.")
    torch.set_num_threads(1)
    seeds, steps = int(given.get("seeds", 3)), int(given.get("steps", 1000))
    detectors = {name: density(build, steps) for name, build in FLOWS.items()}
    detectors |= {"gaussian": density(lambda d, n: Gaussian([d], None), 0), **CLASSICAL}
    wanted = given.get("methods", ",".join(detectors)).split(",")
    if unknown := [name for name in wanted if name not in detectors]:
        raise SystemExit(f"error: no method {unknown[0]}; there are {', '.join(detectors)}.")
    table = Table(
        f"Anomaly detection in tables: AUROC, mean over {seeds} divisions of the rows",
        *("set", "rows", "columns", "anomalous", *wanted),
        timed=False,
    )
    found, seconds = [], dict.fromkeys(wanted, 0.0)
    for name, x, y in sets(Path(given["data_dir"]), given.get("sets")):
        values = np.zeros((seeds, len(wanted)))
        for seed in range(seeds):
            seen, others, anomalous = split(x, y, seed, int(given.get("rows", 10_000)))
            for i, method in enumerate(wanted):
                start = time.process_time()
                scores = detectors[method](seen, others, seed)
                seconds[method] += time.process_time() - start
                values[seed, i] = roc_auc_score(anomalous, scores)
        found.append(values.mean(0))
        share = f"{100 * (y != 0).mean():.1f} %"
        table.add(name, f"{len(x):,}", x.shape[1], share, *(f"{v:.3f}" for v in found[-1]))
    ranks = np.array([rankdata(-row.round(6)) for row in found])
    blank = ("", "", "")
    table.add("**mean AUROC**", *blank, *(f"**{v:.4f}**" for v in np.mean(found, 0)))
    table.add("**mean rank**", *blank, *(f"{v:.2f}" for v in ranks.mean(0)))
    table.add("CPU minutes", *blank, *(f"{s / 60:.1f}" for s in seconds.values()))
    table.save()


if __name__ == "__main__":
    main()
