"""`python -m app`: prepare the store, then serve. Exit code 2 when it cannot start."""

import os
import signal
import sys

from app import start
from app.config import Config
from app.errors import StartError


def main() -> int:
    # The first process of a container ignores signals it has no handler for.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    try:
        config = Config.from_environment(os.environ)
        start.prepare_apart(config)
        start.serve(config)
    except StartError as error:
        print(f"app: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
