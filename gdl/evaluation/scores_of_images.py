"""Every score of every image, as a table for people and programs."""

import csv
import io
import math
import sys
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gdl.capabilities import Incapable
from gdl.data.alphabets import Alphabet, alphabet_of
from gdl.data.base import ImageData
from gdl.data.listing import printable
from gdl.errors import GdlError
from gdl.evaluation.held_out import held_out
from gdl.evaluation.host import Host
from gdl.evaluation.outliers.fitting import fitted
from gdl.evaluation.outliers.images import Images, Setting
from gdl.evaluation.outliers.others import made_images
from gdl.evaluation.outliers.scoring import Score, chosen, training_sample
from gdl.evaluation.outliers.synthetic import SYNTHETIC
from gdl.evaluation.units import at_least_one
from gdl.families.base import GenerativeModel
from gdl.files import write_atomically
from gdl.pictures import subject
from gdl.plots import save_sheet
from gdl.texts import visible

__all__ = ["scores"]

SPLITS = ("train", "val", "test")


def scores(
    model: GenerativeModel,
    data: ImageData,
    host: Host,
    scores: Mapping[str, Score],
    only: Sequence[str] | None = None,
    by: str | None = None,
    sort: bool = False,
    split: str | None = None,
    sheet: int = 64,
    fit: str | Sequence[str] | None = None,
    num_fit: int = 5000,
    k: int = 1,
    batch_size: int = 500,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, float]:
    """Write scores.csv, a row for each image, and strangest.png, the images with the highest ranks.

    The columns are file, rank and the scores. The strangest image has rank 1. Names are in quotes,
    and bytes of a name that are no UTF-8 stay as they are; a name that begins like a formula of a
    spreadsheet has "./" in front, which is the same file. Numbers are exact. There are no numbers for
    metrics.json. Of a model of text the file is strangest.txt, with the windows as text.

    Args:
        model: In eval mode.
        data: What it was trained on; without other data its test images are scored.
        host: Knows the name of the other data, and where the files go.
        scores: Functions (images, train) by name, see `gdl.evaluation.outliers`; those of groups of
            images are left out.
        only: Names of the scores to take; None for all that the model and the data allow.
        by: The score that ranks; None for complexity, or the first there is.
        sort: Whether the strangest image comes first; else the rows are in the order of the data.
        split: "train", "val" or "test" of the data; None for all images of other data, and for the
            test images of the run's own.
        sheet: Images in the picture.
        fit: How images of another shape are brought to the run's, see `fitted`.
        num_fit: Training images that the scores take their statistics from; all if there are fewer.
        k: Samples per image of an nll that is a bound.
        batch_size: Images at a time.
        seed: Seeds all draws.
        limit: Only the first so many images.

    Raises:
        Incapable: No score is possible, or one that was asked for is not; or other data do not fit.
        GdlError: A name or a number is none.
    """
    at_least_one("sheet", sheet)
    wanted = chosen(scores, only)
    if by is not None:
        chosen(wanted, [by])
    alphabet = alphabet_of(model.config)
    table = host.table("scores.csv")
    picture = host.file("strangest.png" if alphabet is None else "strangest.txt")
    names, x = _to_score(data, host, split, fit, seed, limit)
    setting = Setting(host.open_run, k, batch_size, seed)
    train = training_sample(model, data, setting, num_fit)
    columns = _columns(wanted, Images(model, x, setting, "images"), train, only is not None)
    by = by or ("complexity" if "complexity" in columns else next(iter(columns)))
    if by not in columns:
        raise Incapable(f"measure=scores asks for by={by}, which is no score of single images.")
    strangeness = columns[by].nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
    order = strangeness.argsort(descending=True, stable=True).tolist()
    write_atomically(table, _csv(names, columns, order, sort))
    if alphabet is not None:
        some = [(names[i], x[i], float(columns[by][i])) for i in order[:sheet]]
        write_atomically(picture, _windows(some, alphabet, by))
    elif x.dim() == 4:
        labels = [f"{k + 1}\n{float(columns[by][i]):.4g}" for k, i in enumerate(order[:sheet])]
        about = subject(model.config)
        of = host.names[0] if host.names else "its own images"
        title = f"the strangest of {len(order)} images of {of}: rank and {by}"
        title = f"{about}: {title}" if about else title
        save_sheet(x[order[:sheet]], labels, picture, model.levels, title)
    else:
        host.written.remove(picture)
    of = "images" if alphabet is None else "windows"
    print(f"The strangest of {len(names)} {of}, by {by} (nats):")
    for rank, i in enumerate(order[:10]):
        print(f"{rank + 1:>4}  {float(columns[by][i]):>12.2f}  {printable(names[i])}")
    return {}


def _windows(found: Sequence[tuple[str, Tensor, float]], alphabet: Alphabet, by: str) -> str:
    """Return windows of a text, each below its rank, its name and its score, the strangest first."""
    parts = [
        f"--- {rank}: {printable(name)}, {by} {score:.4g} ---\n{visible(alphabet.decode(x))}\n"
        for rank, (name, x, score) in enumerate(found, 1)
    ]
    return "\n".join(parts)


def _to_score(
    data: ImageData,
    host: Host,
    split: str | None,
    fit: str | Sequence[str] | None,
    seed: int,
    limit: int | None,
) -> tuple[list[str], Tensor]:
    """Return names and images, on the CPU, with the shape and levels of the run's."""
    if split not in (None, *SPLITS):
        raise GdlError(f"split={split} is no part of data: choose train, val or test, or null.")
    if len(host.names) > 1:
        raise GdlError(
            f"measure=scores scores one data set at a time, and data= names {len(host.names)}: "
            f"choose one, as data={host.names[0]}."
        )
    name = host.names[0] if host.names else None
    if name in SYNTHETIC:
        x = made_images(name, data, seed, limit)
        return [f"{name}[{i}]" for i in range(len(x))], x
    source = data if name is None else host.open_data(name)
    parts = [split] if split else ["test"] if name is None else [*SPLITS]
    held_out(source, limit)  # it checks the limit
    names = [n for part in parts for n in source.names(part)]
    x = torch.cat([source.images(part).cpu() for part in parts])[:limit]
    return names[:limit], fitted(name or "", x, source.levels, data, fit)


def _columns(
    wanted: Mapping[str, Score], images: Images, train: Images, asked: bool
) -> dict[str, Tensor]:
    """Return the scores of single images by name; what is not possible is told, or refused if asked."""
    columns, why = {}, ""
    for label, score in wanted.items():
        try:
            values = score(images, train)
        except Incapable as e:
            why = f"measure=scores asks for the score {label}, and {e}"
            if asked:
                raise Incapable(why) from e
            print(f"note: left out: {why}", file=sys.stderr)
            continue
        if len(values) == len(images):
            columns[label] = values
    if not columns:
        raise Incapable(why or "measure=scores asks for a score of single images: use n=1.")
    return columns


def _csv(
    names: Sequence[str], columns: Mapping[str, Tensor], order: Sequence[int], sort: bool
) -> bytes:
    rank = {i: r + 1 for r, i in enumerate(order)}
    values = {label: column.tolist() for label, column in columns.items()}
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(["file", "rank", *columns])
    for i in order if sort else range(len(names)):
        # a spreadsheet runs what begins like a formula, in quotes or not
        name = f"./{names[i]}" if names[i][:1] in ("=", "+", "-", "@", "\t", "\r") else names[i]
        writer.writerow([name, rank[i], *(column[i] for column in values.values())])
    return text.getvalue().encode("utf-8", "surrogateescape")
