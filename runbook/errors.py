"""Every error a person can meet, in one tree.

RunbookError                    exit 2
├── EnvironmentNotFound         the name is no stack group, or no project is here
├── LocalRegionNotRunning       `local` was asked for and nothing answers
├── LocalRegionFailed           the region could not be started or stopped
├── AwsCallFailed               AWS refused or did not answer
├── StackNotFound               an output was asked of a stack that does not exist
├── StackFailed                 a stack operation ended in a failed state
├── ServiceFailed               the deployed service does not run, or answers wrongly
├── EndpointClosed              the service cannot be asked from this machine
├── GuardRefused                a write to the wrong place, or of a missing image
├── EnvironmentLocked           another run writes to the environment
├── ImageFailed                 a container engine could not build or send an image
├── InputInvalid                a file, parameter or option cannot be used
├── LoadFailed                  the load driver could not do its work
├── MeasurementVoid             decisive steps were void: no recommendation
├── NotebookFailed              a notebook stopped with an error
└── Finding                     exit 1: nothing broke, but the answer is no
    ├── ApprovalMissing         an unattended run reached its gate
    └── SloMissed               the service did not keep its promise

A message reads `{what happened}: {why}; {what to do next}`.
"""

from __future__ import annotations

from json import JSONDecodeError


class RunbookError(Exception):
    """An error with a sentence for the person who meets it. Ends a command with exit code 2."""

    exit_code = 2

    def __init__(self, what: str, why: str, next_step: str) -> None:
        self.what, self.why, self.next_step = what, why, next_step
        super().__init__(f"{what}: {why}; {next_step}")

    def __reduce__(self) -> tuple[type[RunbookError], tuple[str, str, str]]:
        return type(self), (self.what, self.why, self.next_step)


def plainly(error: Exception) -> str:
    """Why a file cannot be used, in other words than Python's own where those say little."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    if isinstance(error, JSONDecodeError):
        return f"it is no JSON: line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, AttributeError | IndexError | TypeError):
        return "it is not built like one"
    return str(error).strip()


class EnvironmentNotFound(RunbookError):
    """The environment is not a stack group of this project, or no project is here."""


class LocalRegionNotRunning(RunbookError):
    """The environment `local` was asked for and no local region answers."""


class LocalRegionFailed(RunbookError):
    """The local region could not be started or stopped."""


class AwsCallFailed(RunbookError):
    """An AWS call was refused or not answered."""


class StackNotFound(RunbookError):
    """A stack, or an output of it, does not exist."""


class StackFailed(RunbookError):
    """A stack operation ended in a failed state."""


class ServiceFailed(RunbookError):
    """The deployed service does not run, or does not answer as it should."""


class EndpointClosed(RunbookError):
    """The service cannot be asked from this machine; nothing is known of how it does."""


class ImageFailed(RunbookError):
    """A container engine could not build, save or send an image."""


class GuardRefused(RunbookError):
    """A write was about to go to the wrong account, region or endpoint, or lacks its image."""


class EnvironmentLocked(RunbookError):
    """Another run is writing to the environment."""


class InputInvalid(RunbookError):
    """A file, parameter or option cannot be used as given."""


class LoadFailed(RunbookError):
    """The load driver could not do its work."""


class MeasurementVoid(RunbookError):
    """Decisive load steps were void, so no number can be recommended."""


class NotebookFailed(RunbookError):
    """A notebook stopped with an error."""


class Finding(RunbookError):
    """Nothing broke, but the answer is no. Ends a command with exit code 1."""

    exit_code = 1


class ApprovalMissing(Finding):
    """An unattended run reached its gate without an approved digest."""


class SloMissed(Finding):
    """The service did not keep its promise."""


class Stopped(BaseException):
    """Not an error: a signal asked to stop. Like KeyboardInterrupt, no `except Exception`
    swallows it."""
