"""`runbook lab adopt`: a proposal into an environment's `scaling.yaml`."""

from __future__ import annotations

from pathlib import Path

import click

from runbook.cli.frame import emit, env_option, json_option, say
from runbook.environment import load_environment


@click.command("adopt")
@click.argument("proposal", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@env_option
@click.option("--dry-run", is_flag=True, help="Show what would be written; write nothing.")
@json_option
def lab_adopt(proposal: Path, env: str, dry_run: bool, as_json: bool) -> None:
    """Write PROPOSAL into the environment's scaling.yaml: numbers with their origin, and steps on
    CPU, a forecast or a schedule below policy_lab. MaxTasks stays as it is, and so does a MinTasks
    that is higher than the proposal's.

    Nothing is deployed; the next command reviews the change. A later `50_apply` would write the
    numbers of the analysis again.
    """
    from runbook.stacks import edit
    from runbook.thresholds import scaling_file
    from runbook.thresholds.adopted import adopt

    environment = load_environment(env)
    path = scaling_file(environment)
    adopted = adopt(environment, proposal, dry_run=dry_run)
    following = f"runbook change {env} policy {'service scaling' if adopted.fast else 'scaling'}"
    service = edit.config_file(environment, "service")
    needs = f"MetricResolutionS: 20 in {service}" if adopted.fast else ""
    data = {
        "file": str(path),
        "written": bool(adopted.diff) and not dry_run,
        "numbers": dict(adopted.numbers),
        "policy_lab": list(adopted.additions),
        "needs": needs,
        "remarks": list(adopted.remarks),
        "diff": adopted.diff,
        "next": following,
    }
    emit(data, as_json, lambda: adopted.diff or f"Nothing differs from {path}.")
    for remark in adopted.remarks:
        say(f"{remark}.")
    if dry_run:
        say("Dry run: nothing was written.")
    elif adopted.diff:
        say(f"Wrote {path}.")
    if needs:
        say("It needs 20 s metrics: a deployment of the service, and in AWS they are charged.")
    say(f"Next: {f'set {needs}, then ' if needs else ''}{following}")
