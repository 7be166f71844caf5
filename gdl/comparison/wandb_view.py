"""A saved view of a W&B project that compares runs by family, data and bits/dim.

    pip install wandb-workspaces
    python -m gdl.comparison.wandb_view ENTITY [PROJECT]

It needs the network and a login. Each call creates a new view; nothing is overwritten.
"""

import sys

try:
    import wandb_workspaces.reports.v2 as wr  # pyright: ignore[reportMissingImports]
    import wandb_workspaces.workspaces as ws  # pyright: ignore[reportMissingImports]
except ImportError as e:
    if __name__ != "__main__":
        raise
    sys.exit(f"error: {e.name} is missing: pip install wandb-workspaces.")

from gdl.runs.metrics import COSTS

__all__ = ["view"]


def view(entity: str, project: str = "gdl") -> ws.Workspace:
    """Return an unsaved view: runs grouped by data and model, the lowest bits/dim first."""
    fronts = [
        wr.ScatterPlot(
            title=f"bits/dim against {name}",
            x=wr.SummaryMetric(key),
            y=wr.SummaryMetric("test/bpd"),
            log_x=True,
        )
        for key, name in COSTS.items()
    ]
    curves = [
        wr.LinePlot(title=f"{stage} bits/dim", x="trainer/global_step", y=[f"{stage}/bpd"])
        for stage in ("train", "val")
    ]
    seconds = wr.LinePlot(title="val bits/dim over training time", x="seconds", y=["val/bpd"])
    bars = wr.BarPlot(title="test bits/dim", metrics=[wr.SummaryMetric("test/bpd")])
    images = wr.MediaBrowser(media_keys=["images/samples", "images/reconstructions"])
    return ws.Workspace(
        entity=entity,
        project=project,
        name="gdl: models by bits/dim",
        sections=[
            ws.Section(name="Results", panels=[bars, *fronts], is_open=True),
            ws.Section(name="Learning curves", panels=[*curves, seconds], is_open=True),
            ws.Section(name="Samples", panels=[images], is_open=True),
        ],
        runset_settings=ws.RunsetSettings(
            groupby=[ws.Config("choices.data"), ws.Config("choices.model")],
            order=[ws.Ordering(ws.Summary("test/bpd"), ascending=True)],
        ),
    )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m gdl.comparison.wandb_view ENTITY [PROJECT]")
    print(view(*sys.argv[1:]).save().url)
