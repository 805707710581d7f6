"""`runbook keys issue|rotate|revoke|list`: who may pass the edge."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from runbook import keys as edge_keys
from runbook.cli.frame import emit, json_option, say
from runbook.environment import load_environment
from runbook.tables import text_table

_environment = click.argument("env")
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")


@click.group()
def keys() -> None:
    """API keys and Basic credentials of the edge."""


@keys.command()
@_environment
@click.argument("owner")
@click.option("--days", default=0, show_default=True, help="Days it is valid; 0: until revoked.")
@_dry_run
@json_option
def issue(env: str, owner: str, days: int, dry_run: bool, as_json: bool) -> None:
    """Make a credential for OWNER and show it this once."""
    store = edge_keys.writable_store(load_environment(env))
    if dry_run:
        say(f"DRY RUN: would put the hash of a new credential of {owner} into {store.arn}")
        return
    _show(edge_keys.issue(store, owner, days=days), as_json)


@keys.command()
@_environment
@click.argument("key_id")
@click.option("--grace-days", default=7, show_default=True, help="Days the old one still works.")
@_dry_run
@json_option
def rotate(env: str, key_id: str, grace_days: int, dry_run: bool, as_json: bool) -> None:
    """Give the owner of KEY_ID a new credential; the old one ends later."""
    store = edge_keys.writable_store(load_environment(env))
    if dry_run:
        say(f"DRY RUN: would replace {key_id} in {store.arn} within {grace_days} days")
        return
    _show(edge_keys.rotate(store, key_id, grace_days=grace_days), as_json)


@keys.command()
@_environment
@click.argument("key_id")
@_dry_run
def revoke(env: str, key_id: str, dry_run: bool) -> None:
    """End a credential; edge locations know within seconds."""
    store = edge_keys.writable_store(load_environment(env))
    if dry_run:
        say(f"DRY RUN: would delete {key_id} from {store.arn}")
        return
    say(f"{key_id} of {edge_keys.revoke(store, key_id)} is revoked.")


@keys.command("list")
@_environment
@json_option
def list_keys(env: str, as_json: bool) -> None:
    """Who has credentials, and until when; the credentials themselves are kept nowhere."""
    entries = edge_keys.key_store(load_environment(env)).entries()
    rows = [
        [name.partition(":")[2][:12], str(e.get("owner", "")), _date(int(e.get("expires", 0)))]
        for name, e in sorted(entries.items())
    ]
    emit(entries, as_json, lambda: text_table(["id", "owner", "expires"], rows))


def _date(expires_s: int) -> str:
    return datetime.fromtimestamp(expires_s, UTC).date().isoformat() if expires_s else "-"


def _show(issued: edge_keys.Issued, as_json: bool) -> None:
    say("Keep it now, it is not shown again:")
    emit(asdict(issued), as_json, lambda: f"{issued.credential}\nid {issued.id}")
