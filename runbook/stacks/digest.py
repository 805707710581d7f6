"""The hashes that bind an approval to exactly what was reviewed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from runbook.environment import Environment
from runbook.stacks.layers import Layer


def layer_digest(layer: Layer) -> str:
    """SHA-256 over one layer's rendered template, parameters and tags, in hexadecimal.

    Give a layer whose upstream outputs are symbolic: their values do not exist before the
    first create, and must not change what an approval means afterwards.
    """
    content = {
        "stack": layer.stack_name,
        "template": layer.template,
        "parameters": dict(layer.parameters),
        "tags": dict(layer.tags),
        "notifications": list(layer.notifications),
        "service_role": layer.service_role,
    }
    return _hash(content)


def digest(environment: Environment, layers: Sequence[Layer]) -> str:
    """SHA-256 over the layers in their order, bound to environment, region and account."""
    return _hash(
        {
            "environment": environment.name,
            "region": environment.region,
            "account": environment.account_id,
            "layers": [layer_digest(layer) for layer in layers],
        }
    )


def approval_digest(configuration: str, bases: Mapping[str, str]) -> str:
    """What an approval names: the configuration, and by layer the stacks that it would change.

    `bases` are their fingerprints. Where nothing that exists would change, as on a first create,
    it is the configuration's digest alone, so that it holds while the stacks come into being.
    """
    return _hash({"configuration": configuration, "bases": dict(bases)}) if bases else configuration


def _hash(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
