"""Which options of `runbook load run` go together: one that would be ignored is refused."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from runbook.errors import InputInvalid

#: Option -> the option without which it has no effect.
_NEEDS = {
    "--rate-scale": "--replay",
    "--time-scale": "--replay",
    "--weight": "--kinds",
    "--users": "--kinds",
}
#: Option -> an option beside which it has no effect, and why.
_BESIDE = {
    "--rate": ("--replay", "the replayed history says the rates"),
    "--ramp-to": ("--replay", "the replayed history says the rates"),
    "--duration": ("--replay", "the replayed history says how long it lasts"),
    "--path": ("--kinds", "each kind has its own path"),
}


def refuse_ignored(context: click.Context, rates: Sequence[float], url: str | None) -> None:
    """Raise InputInvalid for a given option that the others leave without effect."""
    given = {
        option
        for parameter in context.command.params
        for option in parameter.opts
        if context.get_parameter_source(str(parameter.name)) is not ParameterSource.DEFAULT
    }
    for option, needed in _NEEDS.items():
        if option in given and needed not in given:
            raise InputInvalid(
                f"{option} cannot be used", f"it says something of {needed}", f"give {needed} too"
            )
    for option, (other, why) in _BESIDE.items():
        if option in given and other in given:
            raise InputInvalid(f"{option} cannot be used with {other}", why, "leave one out")
    if "--path" in given and url is not None and not _is_origin(url):
        raise InputInvalid(
            f"--path cannot be used with {url}", "the address has its own path", "leave one out"
        )
    if "--ramp-to" in given and len(rates) > 1:
        raise InputInvalid(
            f"--ramp-to cannot be used with {len(rates)} rates",
            "a ramp begins at one",
            "give --rate once",
        )


def full_url(context: click.Context, url: str, path: str) -> str:
    """The address to ask: `url`, and where that names no path a given --path."""
    given = context.get_parameter_source("path") is not ParameterSource.DEFAULT
    return url.rstrip("/") + path if given and _is_origin(url) else url


def _is_origin(url: str) -> bool:
    return urlsplit(url).path in ("", "/")


def weights_of(given: Sequence[str]) -> dict[str, float]:
    """Weights by name from `NAME=W`. Raises InputInvalid."""
    weights = {}
    for item in given:
        name, _, number = item.rpartition("=")
        try:
            weights[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise InputInvalid(
                f"--weight {item} cannot be used", "it is no NAME=NUMBER", "write e.g. list=3"
            )
    return weights
