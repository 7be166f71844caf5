"""Starts Weights & Biases without a prompt, and stops its process without hanging."""

import contextlib
import netrc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

__all__ = ["start_run", "stop_service", "sync_dir", "wandb_logged_in"]


def wandb_logged_in() -> bool:
    """Return whether an API key is available, without asking the user or the network."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    for name in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            if name and netrc.netrc(Path(name).expanduser()).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def start_run(mode: str, **options: Any) -> Any:
    """Return a started W&B run: online where the user is logged in and the server answers.

    Args:
        mode: "online", "offline" or "auto", which is online if the user is logged in. The variable
            WANDB_MODE takes precedence over "auto".
        **options: Passed on to `wandb.init`.
    """
    import wandb
    from wandb.errors import CommError

    if mode == "auto":
        mode = os.environ.get("WANDB_MODE", "online" if wandb_logged_in() else "offline")
    os.environ.setdefault("WANDB_SILENT", "true")  # gdl prints the one line that matters
    settings = wandb.Settings(silent=True, init_timeout=10, console="off")
    options = {"settings": settings, **options}
    try:
        return wandb.init(mode="online" if mode == "online" else "offline", **options)
    except CommError as e:  # no answer within the timeout: keep the numbers, sync later
        reason = (str(e).splitlines() or [""])[0].rstrip(".")
        print(f"warning: W&B cannot be reached ({reason}); it is kept offline.", file=sys.stderr)
        return wandb.init(mode="offline", **options)


def sync_dir(run: Any) -> Path | None:
    """Return the directory of an offline W&B run, to pass to `wandb sync`; None if it is online."""
    return Path(run.dir).parent if run.settings._offline else None


def stop_service(seconds: float = 5) -> None:
    """Stop W&B's own process, for which W&B would otherwise wait at exit without a limit.

    The process is asked to stop, and then writes what it has received. It is killed if it is still
    there after `seconds`.
    """
    import wandb
    from wandb.sdk import wandb_setup

    # W&B has no public name for its process; there is none if another program started it
    owner: Any = getattr(wandb_setup, "_singleton", None)
    for name in ("_connection", "_proc", "_process"):
        owner = getattr(owner, name, None)
    if owner is None:
        return
    process: subprocess.Popen[bytes] = owner
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # otherwise W&B would print a traceback at exit, because its process is gone
    with contextlib.suppress(Exception, SystemExit):
        wandb.teardown()
