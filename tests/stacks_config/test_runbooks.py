"""What the schedules start by default can run in a fresh task that may only read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runbook.environment import LAYERS, load_environment
from runbook.runs.catalogue import Notebook, all_notebooks
from runbook.runs.parameters import read_notebook

ROOT = Path(__file__).parents[2]
Templates = dict[str, dict[str, Any]]
ENVIRONMENTS = sorted(path.parent.name for path in ROOT.glob("sceptre/config/*/config.yaml"))


def defaults(templates: Templates) -> set[str]:
    parameters = templates["runbooks"]["Parameters"]
    return {
        name
        for parameter in ("DailyNotebooks", "WeeklyNotebooks")
        for name in parameters[parameter]["Default"].split(",")
    }


def scheduled(templates: Templates) -> list[Notebook]:
    return [notebook for notebook in all_notebooks(ROOT) if notebook.name in defaults(templates)]


def test_the_scheduled_notebooks_exist(templates: Templates) -> None:
    assert {notebook.name for notebook in scheduled(templates)} == defaults(templates)


def test_they_change_nothing_and_wait_for_no_approval(templates: Templates) -> None:
    for notebook in scheduled(templates):
        assert not {"approve", "dry_run"} & {item.name for item in notebook.parameters}
        assert notebook.facts["May change"].startswith("Nothing"), notebook.name


def test_they_need_nothing_of_an_earlier_run(templates: Templates) -> None:
    for name in defaults(templates):
        cells = read_notebook(ROOT / "notebooks" / f"{name}.ipynb")["cells"]
        assert not any("run.input(" in "".join(cell["source"]) for cell in cells), name


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_task_may_read_every_stack_where_it_is(
    environment: str, templates: Templates, stacks: dict[tuple[str, str], Any]
) -> None:
    given = stacks[environment, "runbooks"].values
    edge_region = given.get(
        "EdgeRegion", templates["runbooks"]["Parameters"]["EdgeRegion"]["Default"]
    )
    role = templates["runbooks"]["Resources"]["TaskRole"]["Properties"]
    (policy,) = role["Policies"]
    by_sid = {item["Sid"]: item for item in policy["PolicyDocument"]["Statement"]}
    known = load_environment(environment, ROOT)
    filled = [
        resource["Fn::Sub"]
        .replace("${AWS::Region}", known.region)
        .replace("${EdgeRegion}", edge_region)
        .replace("${StackPrefix}", given["StackPrefix"])
        for resource in by_sid["ReadStacks"]["Resource"]
    ]
    for layer in LAYERS:
        start = f":cloudformation:{known.region_of(layer)}:${{AWS::AccountId}}:stack/"
        name = known.stack_name(layer)
        assert any(
            start in resource and f"{name}/id".startswith(resource.partition(start)[2].rstrip("*"))
            for resource in filled
        ), layer
