"""Starts Weights & Biases without a prompt, and stops its process without hanging."""

import contextlib
import netrc
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args
from urllib.parse import urlparse

from gdl.errors import GdlError

__all__ = ["resolve_mode", "start_run", "stop_service", "sync_dir", "wandb_logged_in"]


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


Mode = Literal["online", "offline", "shared", "disabled"]
"""How W&B works: see `resolve_mode`."""

FIELDS = {
    "tags": "run_tags",
    "group": "run_group",
    "name": "run_name",
    "notes": "run_notes",
    "job_type": "run_job_type",
    "id": "run_id",
    "dir": "root_dir",
}
"""What W&B's settings call the arguments of `wandb.init`, where the names differ."""

OWN_SETTINGS = {"silent": True, "init_timeout": 10, "console": "off"}
"""gdl's settings of W&B: it prints the one line that matters, and never waits for long."""


def resolve_mode(mode: str) -> Mode:
    """Return how W&B works here.

    Args:
        mode: A mode; or "auto", which is what W&B's own environment says, the variable WANDB_MODE
            or a settings file, and otherwise "online" if the user is logged in, else "offline".

    Raises:
        GdlError: It is neither.
    """
    if mode == "auto":
        settings = _environment()
        if "mode" in settings.model_fields_set:
            mode = {"dryrun": "offline", "run": "online"}.get(settings.mode) or settings.mode
        else:
            mode = "online" if wandb_logged_in() else "offline"
    if mode not in get_args(Mode):
        raise GdlError(
            f"logger.wandb.mode={mode} is not known: use auto, online, offline or disabled."
        )
    return cast(Mode, mode)


def _environment() -> Any:
    """Return the settings that W&B reads from its variables and settings files.

    Raises:
        GdlError: One of them has a value that W&B refuses.
    """
    import wandb
    from wandb.errors import Error

    try:
        return wandb.setup().settings
    except (ValueError, Error) as e:
        lines = [line.strip() for line in str(e).splitlines()]
        reason = ": ".join(lines[1:3]) or _first(e)  # pydantic's first line is a heading
        raise GdlError(f"A WANDB_ variable has no meaning for W&B ({reason}): correct it.") from e


def start_run(mode: Mode, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    """Return a started W&B run; one that should be online is offline where the server does not answer.

    Args:
        mode: "online", "offline" or "shared", see `resolve_mode`.
        options: Arguments of `wandb.init` that the user has set; None counts as not set.
        defaults: What they are where neither the user nor W&B's environment, such as the variable
            WANDB_PROJECT, has set them.

    Raises:
        GdlError: W&B refuses its settings.
    """
    import wandb
    from wandb.errors import Error

    given = _environment().model_fields_set
    chosen = {k: v for k, v in defaults.items() if FIELDS.get(k, k) not in given}
    chosen |= {k: v for k, v in options.items() if v is not None}
    settings = {k: v for k, v in OWN_SETTINGS.items() if k not in given}
    chosen = {"settings": wandb.Settings(**settings), **chosen}
    try:
        return wandb.init(mode=mode, **chosen)
    except Error as e:  # no answer within the timeout, or no key: keep the numbers, sync later
        if mode == "offline":
            raise GdlError(_refused(e)) from e
        print(f"warning: W&B cannot be used ({_first(e)}); it is kept offline.", file=sys.stderr)
    try:
        return wandb.init(mode="offline", **chosen)
    except Error as e:
        raise GdlError(_refused(e)) from e


def _refused(error: Exception) -> str:
    return f"W&B refuses its settings ({_first(error)}): correct them, or use logger=csv."


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__


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
