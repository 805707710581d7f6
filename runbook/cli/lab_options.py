"""What the commands of `runbook lab` share: options, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from runbook.cli.frame import json_option, say, writable
from runbook.errors import InputInvalid, RunbookError

_Command = TypeVar("_Command", bound=Callable[..., Any])
MAX_TIMES_PEAK = 10
_PICTURES = (".png", ".svg", ".pdf")
FILE = click.Path(dir_okay=False, path_type=Path)
_SECONDS = click.FloatRange(0.0, 3600.0)

policies_option = click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME_OR_FILE",
    callback=lambda _context, _option, names: tuple(dict.fromkeys(names)),
    help="A built-in policy or a scaling.yaml; several are played on the same arrivals.",
)
_SERVICE = (
    click.option(
        "--curve", required=True, type=FILE, help="capacity.json as 30_analyse writes it."
    ),
    click.option(
        "--times",
        "run",
        type=click.Path(file_okay=False, path_type=Path),
        help="A run's folder: start-up as its 60_verify saw it.",
    ),
    click.option("--startup-s", type=_SECONDS, help="From ordering a task to RUNNING; 23."),
    click.option("--serve-s", type=_SECONDS, help="From RUNNING to taking traffic; 20."),
    click.option(
        "--publish-delay-s",
        type=_SECONDS,
        help="From a 60 s period's end until its datapoint can be evaluated; 120.",
    ),
    click.option("--fast-publish-delay-s", type=_SECONDS, help="The same of a 20 s period; 20."),
    click.option(
        "--memory-gb",
        type=click.FloatRange(0.0, 120.0, min_open=True),
        help="Of a task, for its price; as service.yaml has it, else the least with its CPU.",
    ),
)
_SCALE = (
    click.option(
        "--max-tasks",
        type=click.IntRange(1),
        help=f"Upper bound of every policy; {MAX_TIMES_PEAK} x the peak's tasks.",
    ),
    click.option(
        "--timezone", default="UTC", show_default=True, help="Of stamps without an offset."
    ),
    click.option(
        "--seeds",
        type=click.IntRange(1, 1000),
        default=5,
        show_default=True,
        help="Draws of Poisson arrivals.",
    ),
    json_option,
)
_HISTORY = (
    click.option(
        "--history",
        required=True,
        metavar="FILE_OR_CLOUDWATCH:ENV",
        help="CSV timestamp,requests (per interval), or cloudwatch:ENV: its balancer's requests.",
    ),
    click.option(
        "--days",
        type=click.IntRange(1, 455),
        help="How many days of cloudwatch:ENV.  [default: 14]",
    ),
    click.option("--history-out", type=FILE, help="Where to keep what CloudWatch said, as CSV."),
    click.option(
        "--peak-tasks",
        type=click.IntRange(0),
        help="Scale the rates so that the train p99 needs so many tasks; 0: as they are."
        "  [default: 30 for a CSV, 0 for cloudwatch:ENV]",
    ),
    click.option(
        "--train-share",
        type=click.FloatRange(0.1, 1.0),
        default=0.5,
        show_default=True,
        help="The earlier share of the history that may be learned from.",
    ),
)


def history_options(command: _Command) -> _Command:
    """What a single history's commands take."""
    return _with(command, (*_HISTORY, *_SERVICE, *_SCALE))


def fleet_options(command: _Command) -> _Command:
    """What commands over many histories take."""
    return _with(command, (*_SERVICE, *_SCALE))


def _with(command: _Command, options: Sequence[Callable[[_Command], _Command]]) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True)
class Measured:
    """The service as the options have it, and where its numbers are from."""

    curve: Any
    times: Any
    memory_gb: float
    memory_from: str

    def model(self, bound: str = "middle") -> Any:
        """The service model; `bound="lower"` with the lower capacity bounds."""
        from runbook.lab.service import service_model

        return service_model(
            self.curve, bound=bound, timing=self.times.timing, memory_gb=self.memory_gb
        )

    def describe(self) -> dict[str, Any]:
        """As JSON takes it."""
        from runbook.lab import prices

        service = self.model()
        return {
            "curve_run": self.curve.run_id,
            "slo_ms": self.curve.slo_ms,
            "measured_tasks": list(service.measured_tasks),
            "task_hour_usd": service.task_hour_usd,
            "memory_gb": self.memory_gb,
            "memory_from": self.memory_from,
            "times": self.times.describe(),
            "prices_read": prices.READ,
        }


def measured(
    *,
    curve: Path,
    run: Path | None,
    startup_s: float | None,
    serve_s: float | None,
    publish_delay_s: float | None,
    fast_publish_delay_s: float | None,
    memory_gb: float | None,
) -> Measured:
    """The service that the options describe. Raises InputInvalid."""
    from runbook.capacity.curve import CapacityCurve
    from runbook.lab import prices
    from runbook.lab.service import service_model
    from runbook.lab.times import times

    read = CapacityCurve.load(curve)
    service_model(read)  # refused here, before anything else is read
    found = times(
        startup_s=startup_s,
        serve_s=serve_s,
        publish_delay_s=publish_delay_s,
        fast_publish_delay_s=fast_publish_delay_s,
        run=run,
    )
    origin = "given"
    if memory_gb is None:
        memory_gb, origin = _configured(read.environment), "its environment's service.yaml"
    if memory_gb is None:
        memory_gb = prices.least_memory_gb(read.share_cores)
        origin = "assumed: the least that Fargate sells with its CPU"
    return Measured(read, found, memory_gb, origin)


def _configured(environment: str) -> float | None:
    from runbook.environment import find_project
    from runbook.lab import prices

    try:
        return prices.configured_memory_gb(find_project() / "sceptre", environment)
    except RunbookError:
        return None


def policies_of(
    names: Sequence[str], service: Any, builtin_policy: Callable[[str], Any], most: int | None
) -> list[Any]:
    """The policies of names and files; files of one name are told apart by their folders.

    `most` replaces the upper bound of those in files. Raises InputInvalid for what is neither.
    """
    from runbook.lab.names import distinct
    from runbook.lab.policy_file import read_policy

    files = [Path(name) for name in dict.fromkeys(names) if Path(name).is_file()]
    told = distinct([path.resolve().with_suffix("") for path in files])
    by_file = dict(zip(map(str, files), told, strict=True))
    found = []
    for name in names:
        if name in by_file or str(Path(name)) in by_file:
            called = by_file[str(Path(name))]
            policy = read_policy(Path(name), service, name=called, max_tasks=most)
            for note in policy.notes:
                say(f"Policy {called}: {note}.")
            found.append(policy)
        elif Path(name).suffix:
            raise InputInvalid(
                f"The policy {name} cannot be read", "there is no such file", "give a scaling.yaml"
            )
        else:
            found.append(builtin_policy(name))
    return found


def drawable(path: Path | None) -> None:
    """Raise InputInvalid where no picture could be written to `path`; the ending is its format."""
    if path is not None and path.suffix.lower() not in _PICTURES:
        raise InputInvalid(
            f"{path} cannot be drawn",
            f"its ending {path.suffix!r} is none of {', '.join(_PICTURES)}",
            "name a .png",
        )
    writable(path)
