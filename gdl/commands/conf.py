"""Where the configuration files are, and the interpolations that they use."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import ListConfig, OmegaConf

from gdl.sweeps.names import job_name

Name = str | int

__all__ = ["CONF", "conf_dir", "register_resolvers"]


def conf_dir() -> Path:
    """Return the folder of the configuration files: gdl/conf in a wheel, conf/ in a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parent / "conf"


CONF = conf_dir()


def register_resolvers() -> None:
    """Register the interpolations that the configs use.

    `${levels:BITS}` is 2 ** BITS, `${job_name:OVERRIDES,SWEEP}` the folder name of a job in the
    folder of its sweep, `${array_shape:FILE}` the shape [C, H, W] of the images in a file of arrays,
    `${table_shape:FILE,LABEL,DROP,COLUMNS}` the shape [D] of the rows of a table,
    `${text_levels:ALPHABET,CORPUS,FILE,ROOT,GLOB}` the number of symbols of a text, and
    `${pairs:WHAT,ALPHABET,FILE,REVERSE,LENGTH}` the length, levels or ends of windows of pairs.
    Lists are those of OmegaConf, because `OmegaConf.resolve`, as for a resumed run, takes no others.
    """
    OmegaConf.register_new_resolver("levels", lambda bits: 2 ** int(bits), replace=True)
    OmegaConf.register_new_resolver("job_name", job_name, replace=True)
    OmegaConf.register_new_resolver("array_shape", _array_shape, replace=True)
    OmegaConf.register_new_resolver("table_shape", _table_shape, replace=True)
    OmegaConf.register_new_resolver("text_levels", _text_levels, replace=True)
    OmegaConf.register_new_resolver("pairs", _pairs, replace=True)


def _array_shape(file: str) -> ListConfig:
    from gdl.data.arrays import array_shape  # takes a second to import

    return ListConfig(array_shape(file))


def _table_shape(
    file: str, label: Name | None, drop: Sequence[Name], columns: Sequence[Name] | None
) -> ListConfig:
    from gdl.data.table_files import table_shape

    return ListConfig(table_shape(file, label, drop, columns))


def _text_levels(
    alphabet: str, corpus: str | None, file: str | None, root: str | None, glob: str
) -> int:
    if alphabet == "bytes":
        return 256
    from gdl.data.alphabets import text_levels

    return text_levels(alphabet, corpus, file, root, glob)


def _pairs(
    what: str, alphabet: str, file: str | None, reverse: bool, length: int | None
) -> int | ListConfig:
    from gdl.data.pair_files import pair_lines

    found = pair_lines(alphabet, file, reverse, length)
    return {"length": found.length, "levels": len(found.symbols), "ends": ListConfig(found.ends)}[
        what
    ]
