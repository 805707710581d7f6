"""What an environment is: a Sceptre stack group with a region, an account and a metric period."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from runbook.errors import EnvironmentNotFound, InputInvalid

#: The layers of every environment, in launch order: each depends on earlier ones only.
LAYERS = (
    "network",
    "registry",
    "data",
    "balancer",
    "cluster",
    "service",
    "scaling",
    "monitoring",
    "edge",
    "runbooks",
)

#: The environment that lives in the local region.
LOCAL = "local"
#: A stack's own region, as its configuration file may name it.
_REGION = re.compile(r"^region:[ ]*[\"']?([a-z0-9-]+)", re.MULTILINE)


@dataclass(frozen=True)
class Environment:
    """A named set of stacks and where they live.

    `account_id` is empty while the environment is not pinned to an account.
    `metric_period_s` is the CloudWatch period of the service's metrics: 60 s in AWS.
    `copied_from` is where people edit, when `sceptre_dir` is a copy of it.
    """

    name: str
    project_code: str
    region: str
    account_id: str
    metric_period_s: int
    project: Path
    sceptre_dir: Path
    copied_from: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether this environment lives in the local region."""
        return self.name == LOCAL

    def stack_name(self, layer: str) -> str:
        """The CloudFormation stack name of a layer, as Sceptre derives it."""
        return f"{self.project_code}-{self.name}-{layer}"

    def as_edited(self, text: str) -> str:
        """A text with the paths that people edit in place of a copy's."""
        return text.replace(str(self.sceptre_dir), str(self.copied_from or self.sceptre_dir))

    def region_of(self, layer: str) -> str:
        """The region of a layer's stack: the environment's, unless its own file names another."""
        path = self.sceptre_dir / "config" / self.name / f"{layer}.yaml"
        try:
            own = _REGION.search(path.read_text(encoding="utf-8"))
        except OSError:
            return self.region
        return own.group(1) if own else self.region


def find_project(start: Path | None = None) -> Path:
    """The project's root: `RUNBOOK_PROJECT`, or the nearest parent with `sceptre/config`.

    Raises EnvironmentNotFound when there is none.
    """
    named = os.environ.get("RUNBOOK_PROJECT")
    here = Path(named) if named else (start or Path.cwd())
    here = here.resolve()
    for folder in (here, *here.parents):
        if (folder / "sceptre" / "config").is_dir():
            return folder
    raise EnvironmentNotFound(
        "No project found",
        f"neither {here} nor a folder above it holds sceptre/config",
        "run this inside the project, or set RUNBOOK_PROJECT to its root",
    )


def environment_names(sceptre_dir: Path) -> list[str]:
    """The environments that `sceptre/config` holds, sorted."""
    groups = (sceptre_dir / "config").glob("*/config.yaml")
    return sorted(path.parent.name for path in groups)


def load_environment(
    name: str, project: Path | None = None, sceptre_dir: Path | None = None
) -> Environment:
    """Read an environment from its stack group's configuration.

    `sceptre_dir` names a Sceptre folder other than the project's own, such as a run's copy.
    Raises EnvironmentNotFound for an unknown name and InputInvalid for a broken configuration.
    """
    root = project or find_project()
    folder = (sceptre_dir or root / "sceptre").resolve()
    group_file = folder / "config" / name / "config.yaml"
    if not group_file.is_file():
        known = ", ".join(environment_names(folder)) or "none"
        raise EnvironmentNotFound(
            f"Environment {name!r} not found",
            f"{folder / 'config'} holds {known}",
            "choose one of these",
        )
    top, group = _read(folder / "config" / "config.yaml"), _read(group_file)
    user_data = {**(top.get("sceptre_user_data") or {}), **(group.get("sceptre_user_data") or {})}
    merged = {**top, **group}
    try:
        return Environment(
            name=name,
            project_code=str(merged["project_code"]),
            region=str(merged["region"]),
            account_id=str(user_data["account_id"] or ""),
            metric_period_s=int(user_data["metric_period_s"]),
            project=root,
            sceptre_dir=folder,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputInvalid(
            f"Environment {name!r} cannot be read",
            f"{group_file} lacks or garbles {error}",
            "give project_code, region, sceptre_user_data.account_id and .metric_period_s",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    """A group's configuration; Sceptre's own tags stay opaque."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_OpaqueTags)
    except (OSError, yaml.YAMLError) as error:
        raise InputInvalid(f"{path} cannot be read", str(error), "mend the file") from error
    return content or {}


class _OpaqueTags(yaml.SafeLoader):
    """A safe loader to which `!stack_output` and its kin are plain text."""


def _as_text(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> str:
    return f"!{suffix} {getattr(node, 'value', '')}"


_OpaqueTags.add_multi_constructor("!", _as_text)
