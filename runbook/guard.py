"""Before any write: the right endpoint, region and account, asked before anything is touched.

`runbook` asks it before it locks, plans or pushes; `stacks/guards.py` has plain Sceptre ask it.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from runbook import region
from runbook.aws import caller_account
from runbook.environment import Environment
from runbook.errors import GuardRefused

#: CloudFront takes its certificate and its firewall from here, whatever the environment's region.
GLOBAL_REGION = "us-east-1"
_GLOBAL_LAYERS = frozenset({"edge"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def require_writable(environment: Environment) -> None:
    """Refuse to write where the environment does not belong.

    Raises GuardRefused, and AwsCallFailed when AWS does not know who is calling.
    """
    # Without an endpoint of its own, `local` is sent to the running region by `runbook.aws`.
    if os.environ.get("AWS_ENDPOINT_URL"):
        require_endpoint(environment)
    for path in sorted((environment.sceptre_dir / "config" / environment.name).glob("*.yaml")):
        if path.name != "config.yaml":
            require_region(environment, path.stem, environment.region_of(path.stem))
    if not environment.is_local and not on_loopback():
        require_account(environment, environment.account_id, caller_account(environment))


def require_endpoint(environment: Environment) -> None:
    """`local` writes to loopback only. Raises GuardRefused."""
    if not environment.is_local or on_loopback():
        return
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    why = f"AWS_ENDPOINT_URL is {endpoint}" if endpoint else "AWS_ENDPOINT_URL is not set"
    if endpoint and _on_loopback(endpoint):
        why = "another AWS_ENDPOINT_URL_... leads elsewhere, or AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
    running = region.running()
    start = "" if running else "runbook local up, then: "
    raise GuardRefused(
        "local is not written to AWS", why, f'{start}eval "$(runbook local env)", then try again'
    )


def on_loopback() -> bool:
    """Whether calls of every service go to this machine."""
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return False
    own = [v for k, v in os.environ.items() if k.startswith("AWS_ENDPOINT_URL_")]
    return all(_on_loopback(url) for url in (os.environ.get("AWS_ENDPOINT_URL", ""), *own))


def _on_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in _LOOPBACK


def require_region(environment: Environment, layer: str, used: str) -> None:
    """A stack lies in its environment's region, or where its layer must. Raises GuardRefused."""
    wanted = GLOBAL_REGION if layer in _GLOBAL_LAYERS else environment.region
    if used != wanted:
        raise GuardRefused(
            f"Layer {layer} of {environment.name} is not written to {used}",
            f"it belongs to {wanted}",
            f"mend `region` in sceptre/config/{environment.name}",
        )


def require_account(environment: Environment, pinned: str, caller: str) -> None:
    """The caller's account is the environment's own. Raises GuardRefused."""
    where = f"sceptre/config/{environment.name}/config.yaml"
    if not pinned:
        raise GuardRefused(
            f"{environment.name} is not pinned to an account",
            f"calls go to account {caller}",
            f'if that is right, write account_id: "{caller}" into {where}',
        )
    if pinned != caller:
        raise GuardRefused(
            f"{environment.name} is not written to account {caller}",
            f"it belongs to {pinned}",
            f"log in there (aws sso login, or AWS_PROFILE); {where} says which account it is",
        )
