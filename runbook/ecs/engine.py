"""The container engine of this machine: docker, podman or buildah, behind one set of verbs.

They are driven by their command lines, which all three share where it matters here; nothing else
of this package knows which one it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook.errors import ImageFailed, InputInvalid

ENGINE_VARIABLE = "RUNBOOK_CONTAINER_ENGINE"
ENGINES = ("docker", "podman", "buildah")
#: What answers only when the engine can work: docker's client comes without its engine.
_PROBES = {
    "docker": ("version", "--format", "{{.Server.Version}}"),
    "podman": ("info", "--format", "{{.Version.Version}}"),
    "buildah": ("info",),
}
_PROBE_S = 20.0
_SHOWN_LINES = 15
_INSTALL = (
    "install one: apt-get install podman (Debian, Ubuntu), dnf install podman (Fedora), "
    "brew install podman (macOS), or Docker"
)

Runner = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Engine:
    """One engine. Methods raise ImageFailed with the last lines that the engine said."""

    name: str
    execute: Runner = subprocess.run

    def build(
        self,
        project: Path,
        *,
        target: str,
        names: Sequence[str],
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        secrets: Mapping[str, Path],
        platform: str = "",
    ) -> None:
        """Build a stage of the project's Dockerfile; what the engine says goes to stderr."""
        command = ["build", "--file", str(project / "Dockerfile"), "--target", target]
        if self.name != "docker":
            # Otherwise the health check is dropped: the OCI format has no place for it.
            command += ["--format", "docker"]
        for name in names:
            command += ["--tag", name]
        for key, value in arguments.items():
            command += ["--build-arg", f"{key}={value}"]
        for key, value in labels.items():
            command += ["--label", f"{key}={value}"]
        for key, path in secrets.items():
            command += ["--secret", f"id={key},src={path}"]
        if platform:
            command += ["--platform", platform]
        self._run([*command, str(project)], f"The image {names[0]} was not built", show=True)

    def digest_of_base(self, name: str) -> str:
        """Ask the registry for what `name` (with a tag) means today: `NAME@sha256:...`.

        An image under `localhost/` is in no registry; this machine's own is taken.
        """
        failure = f"The base image {name} has no digest here"
        if not name.startswith("localhost/"):
            self._run(["pull", "--quiet", name], failure)
        if self.name == "buildah":
            found = self._run(
                ["inspect", "--type", "image", "--format", "{{.FromImageDigest}}", name], failure
            )
        else:
            found = self._run(
                ["image", "inspect", "--format", "{{index .RepoDigests 0}}", name], failure
            )
        digest = found.strip().rpartition("@")[2]
        return f"{_without_tag(name)}@{digest}"

    def images(self, repository: str) -> list[str]:
        """The tags of a repository on this machine, newest first."""
        field = "Name" if self.name == "buildah" else "Repository"
        listed = self._run(
            ["images", "--format", f"{{{{.{field}}}}} {{{{.Tag}}}}"], "The images are not listed"
        )
        pairs = (line.split() for line in listed.splitlines())
        return [pair[1] for pair in pairs if len(pair) == 2 and pair[0] == repository]

    def save(self, name: str, archive: Path) -> None:
        """Write an image as a docker archive, which every engine writes and reads."""
        failure = f"The image {name} was not saved"
        if self.name == "buildah":
            self._run(["push", "--quiet", name, f"docker-archive:{archive}"], failure)
        elif self.name == "podman":
            self._run(
                ["save", "--quiet", "--format", "docker-archive", "--output", str(archive), name],
                failure,
            )
        else:
            self._run(["save", "--output", str(archive), name], failure)

    def push(self, name: str, target: str, *, user: str, password: str) -> None:
        """Send a local image to `target` (HOST/REPOSITORY:TAG).

        The password goes through standard input into a folder of its own that is then removed:
        it is on no command line and stays in nobody's configuration.
        """
        host = target.partition("/")[0]
        failure = f"The image was not pushed to {target}"
        with tempfile.TemporaryDirectory(prefix="runbook-login-") as folder:
            login = {"DOCKER_CONFIG": folder, "REGISTRY_AUTH_FILE": f"{folder}/auth.json"}
            self._run(
                ["login", "--username", user, "--password-stdin", host],
                f"{self.name} could not log in to {host}",
                stdin=password,
                environment=login,
            )
            if self.name == "buildah":
                self._run(["push", name, f"docker://{target}"], failure, True, environment=login)
            else:
                self._run(["tag", name, target], failure)
                self._run(["push", target], failure, True, environment=login)

    def _run(
        self,
        arguments: Sequence[str],
        failure: str,
        show: bool = False,
        *,
        stdin: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Standard output; with `show` everything is passed on to stderr as it comes instead."""
        process = self.execute(
            [self.name, *arguments],
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            stdout=sys.stderr if show else subprocess.PIPE,
            stderr=sys.stderr if show else subprocess.PIPE,
            text=True,
            check=False,
            # An index of attestations would hide the image behind another digest.
            env={**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1", **(environment or {})},
        )
        if process.returncode:
            said = (process.stderr or "").strip().splitlines()[-_SHOWN_LINES:]
            why = "; ".join(said) or f"{self.name} ended with exit code {process.returncode}"
            raise ImageFailed(failure, why, "read what it said; mend that, and say it again")
        return process.stdout or ""


def find(
    wanted: Sequence[str] = ENGINES,
    *,
    execute: Runner = subprocess.run,
    which: Callable[[str], str | None] = shutil.which,
    forced: str | None = None,
) -> Engine:
    """The first engine that answers, or the one that RUNBOOK_CONTAINER_ENGINE names.

    Raises InputInvalid, saying of each why not and what installs one.
    """
    forced = forced or os.environ.get(ENGINE_VARIABLE)
    if forced and forced not in wanted:
        raise InputInvalid(
            f"The container engine {forced!r} cannot be used here",
            f"{ENGINE_VARIABLE} names none of {', '.join(wanted)}",
            "name one of them or unset it",
        )
    reasons = []
    for name in (forced,) if forced else tuple(wanted):
        reason = "is not installed" if which(name) is None else _silence(name, execute)
        if not reason:
            return Engine(name, execute)
        reasons.append(f"{name} {reason}")
    raise InputInvalid("No container engine answers", ", ".join(reasons), _INSTALL)


def _silence(name: str, execute: Runner) -> str:
    """Why an installed engine does not answer; empty when it does."""
    try:
        said = execute(
            [name, *_PROBES[name]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not answer ({error})"
    if said.returncode == 0:
        return ""
    lines = said.stderr.strip().splitlines()
    return f"does not answer ({lines[-1].strip() if lines else said.returncode})"


def _without_tag(name: str) -> str:
    """`host:5000/python:3.13` -> `host:5000/python`."""
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
