"""Imports every module of the packages named, so that Python compiles what they use, and no more.

Much that is installed is never imported; compiling all of it would take three times as long.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator

#: Locust patches the standard library, which must be before anything has imported that.
FIRST = ("locust",)
#: What a notebook's own process starts with.
LAST = ("ipykernel.kernelapp",)


def names(packages: list[str]) -> Iterator[str]:
    yield from FIRST
    for package in packages:
        found = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
        # Importing a package's __main__ would run it.
        yield from (module.name for module in found if not module.name.endswith("__main__"))
    yield from LAST


for name in names(sys.argv[1:]):
    try:
        importlib.import_module(name)
    except Exception:
        # What this machine lacks is told when it is used, not at set-up.
        continue
