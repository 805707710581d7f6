"""What all commands share: errors as one sentence with the right exit code, and output."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import click
from botocore.exceptions import BotoCoreError, ClientError

from runbook.errors import InputInvalid, RunbookError, Stopped

json_option = click.option("--json", "as_json", is_flag=True, help="Data as JSON on stdout.")
env_option = click.option(
    "--env", "env", default="local", show_default=True, help="The environment."
)
runs_option = click.option(
    "--runs",
    "runs_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where run records go; runs/ of the project unless given.",
)


def guarded(command: click.Command) -> NoReturn:
    """Run the command line; every way it can end has its exit code."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        code = command.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except RunbookError as error:
        say(f"{'Finding' if error.exit_code == 1 else 'Error'}: {error}")
        code = error.exit_code
    except (ClientError, BotoCoreError) as error:
        say(f"Error: AWS refused or did not answer: {error}; check credentials, region, network")
        code = 2
    except (click.Abort, KeyboardInterrupt, Stopped) as stop:
        say("Stopped. Nothing of it still runs; it can be started again.")
        code = 143 if isinstance(stop, Stopped) else 130
    sys.exit(code if isinstance(code, int) else 0)


def _stop(number: int, frame: object) -> NoReturn:
    raise Stopped


def say(text: str) -> None:
    """Talk: stderr."""
    click.echo(text, err=True)


def emit(data: Any, as_json: bool, as_text: Callable[[], str]) -> None:
    """Data: stdout, as JSON or as text."""
    if as_json:
        click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))
    else:
        text = as_text()
        if text:
            click.echo(text)


def writable(path: Path | None) -> None:
    """Raise InputInvalid where `path` could not be written, before an hour is spent on it.

    Told by writing a file beside it and removing it: of /proc root's permissions say nothing.
    """
    if path is None:
        return
    folder = path.resolve().parent
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(path, f"{folder} is no folder that can be written to") from error
    finally:
        for each in made:
            with suppress(OSError):
                each.rmdir()


def unwritable(path: Path, why: str) -> InputInvalid:
    """What to raise when `path` cannot be written."""
    return InputInvalid(
        f"{path} cannot be written", why, "name a file in a folder you may write to"
    )
