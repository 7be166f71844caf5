"""What model a page shows: its name, its likelihood with its kind, the command, the commit."""

from typing import Any

from gdl.explorer.subject import Subject

__all__ = ["facts"]


def facts(subject: Subject) -> dict[str, Any]:
    """Return the title of the page and a list of pairs of name and text, in the order of the page."""
    metrics, record = subject.metrics, subject.run.record_facts()
    name = type(subject.model).__name__
    data = str(metrics.get("data") or record.get("data") or type(subject.data).__name__)
    pairs = [("run", subject.run.path.name), ("model", name), ("data", data)]
    if metrics.get("test/bpd") is not None:
        pairs.append(("bits/dim", f"{metrics['test/bpd']:.4f} ({metrics.get('kind')})"))
    params = sum(p.numel() for p in subject.model.parameters())
    pairs.append(("parameters", f"{params:,}"))
    pairs += [("command", str(c)) for c in record.get("commands", [])[:1]]
    pairs.append(("commit", str(record.get("git_commit"))))
    return {"title": f"{name} on {data}", "list": pairs}
