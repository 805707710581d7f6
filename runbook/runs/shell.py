"""The notebook shell this runs in, if any: showing things, and hearing of cells' errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from runbook.errors import RunbookError

_LISTENER = "_runbook_after_cell"


def show(text: str, markup: str) -> None:
    """Display in a notebook, as HTML where that is understood; print where there is none."""
    if _shell() is None:
        print(text)
    else:
        _display({"text/plain": text, "text/html": markup})


class LiveLine:
    """A line that is overwritten by the next one; nothing outside of a notebook."""

    def __init__(self) -> None:
        self._handle: Any = None

    def write(self, text: str) -> None:
        """Replace the line."""
        if _shell() is None:
            return
        content = {"text/plain": text}
        if self._handle is None:
            self._handle = _display(content, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def end(self) -> None:
        """The next line is a new one."""
        self._handle = None


def listen(after_cell: Callable[[BaseException | None], None]) -> None:
    """Call back after every cell, with its error if it raised one.

    Our own errors are then shown as their sentence alone, without a traceback. A later call
    replaces an earlier one. Does nothing outside of a notebook.
    """
    shell = _shell()
    if shell is None:
        return

    def forward(outcome: Any) -> None:
        after_cell(outcome.error_in_exec or outcome.error_before_exec)

    def show_sentence(shell: Any, kind: type, error: BaseException, trace: Any, **_: Any) -> None:
        shell._showtraceback(kind, error, [str(error)])

    earlier = getattr(shell, _LISTENER, None)
    if earlier is not None:
        shell.events.unregister("post_run_cell", earlier)
    setattr(shell, _LISTENER, forward)
    shell.events.register("post_run_cell", forward)
    shell.set_custom_exc((RunbookError,), show_sentence)


def _shell() -> Any:
    # Whoever runs in a notebook has imported it; the command line starts sooner without.
    ipython: Any = sys.modules.get("IPython")
    return ipython and ipython.get_ipython()


def _display(content: dict[str, str], **options: Any) -> Any:
    from IPython.display import display

    return display(content, raw=True, **options)  # type: ignore[no-untyped-call]
