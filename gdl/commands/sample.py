"""gdl sample: make pictures or texts with a trained model, e.g. run=latest task=interpolate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gdl.process import enable_garbage_collection, run_as_process
from gdl.stopping import told_to_stop  # everything else is imported where a signal is heard

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["main", "sample"]


def sample(cfg: DictConfig) -> list[str]:
    """Run the task and print its numbers.

    Images are written as PNG, and as GIF where movement says more; vectors as a CSV file; texts are
    printed, on a terminal as they come, and written as text files.
    """
    from functools import cache
    from pathlib import Path

    from hydra.utils import instantiate
    from omegaconf import OmegaConf
    from torch import Tensor

    from gdl.capabilities import HasLogProb
    from gdl.evaluation import Host
    from gdl.evaluation.combination import takes_host
    from gdl.files import for_shell, write_rows
    from gdl.pictures import subject
    from gdl.plots import save_result
    from gdl.runs.checkpoints import load_run_data, load_run_model, open_run
    from gdl.runs.links import check_links
    from gdl.runs.report import print_numbers
    from gdl.tasks import LazyImages
    from gdl.texts import Texts, save_texts

    run, model = load_run_model(cfg.run, cfg.device)
    data = cache(lambda: load_run_data(cfg.run, data_dir=cfg.data_dir))
    log_prob = lambda x: d.log_prob(x) if isinstance(d := data(), HasLogProb) else None  # noqa: E731
    images = LazyImages(lambda: data().images("test"), lambda: data().labels("test"), log_prob)
    if not cfg.out:
        check_links(run.path)
    own: dict[str, Any] = {key: bool(cfg.task.get(key)) for key in ("bare", "files")}
    task = instantiate(
        OmegaConf.masked_copy(cfg.task, [k for k in cfg.task if k not in own]), _convert_="all"
    )
    folder = Path(cfg.out) if cfg.out else run.images
    enable_garbage_collection()
    host = Host(
        folder,
        open_run=lambda spec: load_run_model(spec, cfg.device)[1],
        open_run_and_data=lambda spec: open_run(spec, cfg.device, data_dir=cfg.data_dir)[1:],
        data=data,
    )
    results = task(model, images, **({"host": host} if takes_host(task) else {}))
    written = []
    for name, x in results.items():
        if isinstance(x, Tensor) and x.dim() == 0:
            print_numbers({name: float(x)})
        elif isinstance(x, Tensor) and x.dim() == 2:
            names = run.metrics().get("data/columns")
            written.append(write_rows(folder / f"{name}.csv", x.tolist(), names))
        elif isinstance(x, Texts):
            x.show()
            written += save_texts(x, folder, name, own["files"])
        else:
            written += save_result(x, folder, name, model.levels, subject(model.config), **own)
    pictures = any(path.suffix in (".png", ".npz") for path in written)
    if own["files"] and pictures and model.levels not in (None, 256):
        print(
            f"Levels 0 to {model.levels - 1} are written as 0 to 255, in .npz files as they are."
        )
    for path in written:
        print(for_shell(path))
    return [str(path) for path in written]


def main() -> None:
    """Run the command on the arguments of this process."""
    with told_to_stop():
        from gdl.commands.entry import run_command

        run_command(sample, "sample")


if __name__ == "__main__":
    run_as_process(main)
