"""Images built from the project's Dockerfile: from which base, of which files, under which name."""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runbook.ecs.engine import Engine
from runbook.ecs.image import source_files
from runbook.environment import Environment
from runbook.errors import InputInvalid

Target = Literal["service", "runbook"]

#: What each image is made of, besides the Dockerfile: folders and files of the project.
CONTENT: Mapping[Target, tuple[str, ...]] = {
    "service": ("app",),
    "runbook": ("app", "notebooks", "runbook", "sceptre", "pyproject.toml"),
}
#: Tags begin with this; the service's beginning is older than the runbook's image.
_PREFIX: Mapping[Target, str] = {"service": "src", "runbook": "runbook"}
_PINNED = re.compile(r"^[^@\s]+@sha256:[0-9a-f]{64}$")
#: Settings of pip that say where packages come from; others are this machine's business.
_PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
_CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_CA_IN_BUILD = "/run/secrets/ca_bundle"


@dataclass(frozen=True)
class Built:
    """An image on this machine: its `name`, and the pinned `base` it stands on."""

    name: str
    base: str


def content_tag(project: Path, target: Target) -> str:
    """What tags of this content begin with: the same files, the same beginning.

    Raises InputInvalid when a part of the content is missing.
    """
    digest = hashlib.sha256()
    for part in ("Dockerfile", *CONTENT[target]):
        path = project / part
        if not path.exists():
            raise InputInvalid(
                f"The {target} image cannot be named", f"{path} is missing", "restore it from git"
            )
        for file in source_files(path) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(project)}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
    return f"{_PREFIX[target]}-{digest.hexdigest()[:16]}"


def repository(environment: Environment, target: Target) -> str:
    """The image's name on this machine, without its tag."""
    return f"localhost/{environment.project_code}-{target}"


def built(environment: Environment, target: Target, engine: Engine) -> str:
    """The newest image on this machine of the content as it is now.

    Raises InputInvalid when there is none.
    """
    name = repository(environment, target)
    wanted = content_tag(environment.project, target)
    for tag in engine.images(name):
        if tag.startswith(f"{wanted}-"):
            return f"{name}:{tag}"
    raise InputInvalid(
        f"The {target} image is not built",
        f"{engine.name} has no {name}:{wanted}-*, so none of the files as they are now",
        f"build it: runbook image build --target {target}",
    )


def build(
    environment: Environment, target: Target, engine: Engine, *, base: str = "", platform: str = ""
) -> Built:
    """Build the image of the content as it is now.

    `base` overrides what pyproject.toml names; without a digest the registry is asked for it.
    Raises InputInvalid, ImageFailed.
    """
    project = environment.project
    pinned = pinned_base(base or configured_base(project), engine)
    tag = f"{content_tag(project, target)}-{pinned.rpartition(':')[2][:8]}"
    name = f"{repository(environment, target)}:{tag}"
    with pip_secrets() as secrets:
        engine.build(
            project,
            target=target,
            names=[name],
            arguments={"BASE": pinned},
            labels={"org.opencontainers.image.revision": _revision(project)},
            secrets=secrets,
            platform=platform,
        )
    return Built(name, pinned)


def configured_base(project: Path) -> str:
    """`base-image` of `[tool.ecs-runbook]` in pyproject.toml. Raises InputInvalid."""
    path = project / "pyproject.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return str(content["tool"]["ecs-runbook"]["base-image"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputInvalid(
            "No base image is named",
            f"{path} has no tool.ecs-runbook.base-image: {error!r}",
            "write it there, or give --base NAME@sha256:...",
        ) from error


def pinned_base(name: str, engine: Engine) -> str:
    """`name` with a digest. Raises InputInvalid for a garbled one, ImageFailed."""
    pinned = name if "@" in name else engine.digest_of_base(name)
    if not _PINNED.match(pinned):
        raise InputInvalid(
            f"The base {name!r} cannot be used",
            f"{pinned!r} is not NAME@sha256: and 64 hex digits",
            "give the digest that the registry shows for it",
        )
    return pinned


@contextmanager
def pip_secrets(
    environ: Mapping[str, str] | None = None, pip_config: str | None = None
) -> Iterator[dict[str, Path]]:
    """This machine's package index and trusted authorities, as secrets of the build.

    Empty files where nothing is set: a secret that the Dockerfile names should exist.
    `pip_config`: what `pip config list` says, for tests.
    """
    environ = os.environ if environ is None else environ
    settings = _pip_settings(_pip_config() if pip_config is None else pip_config)
    bundle = next((environ[name] for name in _CA_VARIABLES if environ.get(name)), "")
    with tempfile.TemporaryDirectory(prefix="runbook-build-") as folder:
        authorities = Path(folder) / "ca_bundle"
        authorities.write_bytes(Path(bundle).read_bytes() if bundle else b"")
        if bundle:
            settings["cert"] = _CA_IN_BUILD
        written = configparser.RawConfigParser()
        written["global"] = settings
        config = Path(folder) / "pip_conf"
        # It may hold a password.
        config.touch(mode=0o600)
        with config.open("w", encoding="utf-8") as stream:
            written.write(stream)
        yield {"pip_conf": config, "ca_bundle": authorities}


def _pip_config() -> str:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return listed.stdout


def _pip_settings(listed: str) -> dict[str, str]:
    """`global.index-url='https://…'` lines; later ones (the environment's) win.

    Addresses of files mean nothing inside a build and are left out.
    """
    found = {}
    for line in sorted(listed.splitlines(), key=lambda text: text.startswith(":env:")):
        key, _, value = line.partition("=")
        name, value = key.rpartition(".")[2], value.strip().strip("'\"")
        kept = " ".join(part for part in value.split() if not part.startswith(("file:", "/")))
        if name in _PIP_SETTINGS and kept:
            found[name] = kept
    return found


def _revision(project: Path) -> str:
    """The commit, `-dirty` when files differ from it; "unknown" outside git."""
    said = subprocess.run(
        [
            "git",
            "-C",
            str(project),
            "describe",
            "--always",
            "--dirty",
            "--abbrev=40",
            "--exclude=*",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"
