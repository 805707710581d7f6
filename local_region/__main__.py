"""`python -m local_region --dir DIR --port N [--period-s 10]`: the region in the foreground."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from local_region.settings import Settings

_FORMAT = "%(asctime)s %(levelname)s [%(name)s] %(message)s"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 after SIGTERM or SIGINT, 2 when the region cannot work."""
    parser = argparse.ArgumentParser(prog="python -m local_region", description=__doc__)
    parser.add_argument("--dir", required=True, type=Path, help="state directory, made if missing")
    parser.add_argument("--port", type=int, default=4566, help="the endpoint's port; 0: any free")
    parser.add_argument("--period-s", type=int, default=10, choices=(1, 5, 10, 20, 30, 60),
                        help="metric period in seconds (AWS: 60)")  # fmt: skip
    parser.add_argument("--owner-pid", type=int, help="stop when this process is gone")
    parser.add_argument("--container-engine", default="", choices=("", "docker", "podman"),
                        help="tasks are containers of this engine, not processes")  # fmt: skip
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format=_FORMAT)
    logging.getLogger("local_region").setLevel(logging.INFO)
    # It warns at every start that signing keys need a library; the stacks use no signing keys.
    logging.getLogger("kms").setLevel(logging.ERROR)
    # Only now: it imports the emulator's dependencies, and --help should not wait for them.
    from local_region.daemon import run

    settings = Settings(period_s=options.period_s, container_engine=options.container_engine)
    return run(options.dir, options.port, settings, owner_pid=options.owner_pid)


if __name__ == "__main__":
    exit_code = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything has been stopped; a worker of the emulator that still sleeps must not hold us.
    os._exit(exit_code)
