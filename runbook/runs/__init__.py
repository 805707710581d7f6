"""Runs: executing notebooks, what they report, and the pages made of it.

Notebooks need `begin` and `checks`; the command line needs the rest.
"""

from runbook.runs import checks
from runbook.runs.binding import begin
from runbook.runs.session import NotebookRun

__all__ = ["NotebookRun", "begin", "checks"]
