"""A named change: reviewed now, kept as a file, approved later, perhaps elsewhere.

The file is the reviewed artefact: it holds the review, the digest and what each layer looked
like when it was made. Approving it makes the change sets anew and executes only what it shows.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.aws import client
from runbook.environment import Environment
from runbook.errors import ApprovalMissing, InputInvalid, plainly
from runbook.stacks.deployed import describe, fingerprint, template_body
from runbook.stacks.diff import diff
from runbook.stacks.planned import load_planned
from runbook.stacks.review import Review
from runbook.stacks.waiting import waiter_for
from runbook.waiting import Patient

SCHEMA_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class NamedChange:
    """A review under a name; `image` is the image reference that was asked for, if any."""

    name: str
    made_at: str
    made_by: str
    commit: str
    image: str
    review: Review

    def save(self, root: Path) -> Path:
        """Write `<root>/<env>/changes/<name>.json`, in place of an earlier one of that name."""
        path = path_of(root, self.review.environment, self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "made_at": self.made_at,
            "made_by": self.made_by,
            "commit": self.commit,
            "image": self.image,
            "review": self.review.to_dict(),
        }
        content["seal"] = _seal(content)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return path


def path_of(root: Path, environment: str, name: str) -> Path:
    """Where a change of that name is kept. Raises InputInvalid for a name that is no file name."""
    if not _NAME.fullmatch(name):
        raise InputInvalid(
            f"{name!r} cannot name a change", "it is to be a file's name", "use letters and digits"
        )
    return root / environment / "changes" / f"{name}.json"


def load(root: Path, environment: str, name: str) -> NamedChange:
    """The change of that name.

    Raises InputInvalid when there is none, ApprovalMissing when the file was altered.
    """
    path = path_of(root, environment, name)
    again = f"make it: make change ENV={environment} NAME={name}"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        seal = content.pop("seal")
    except FileNotFoundError as error:
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.json")))
        raise InputInvalid(
            f"No change {name} of {environment} found",
            f"there are: {known}" if known else f"no change of {environment} is kept yet",
            again,
        ) from error
    except OSError as error:
        raise InputInvalid(f"{path} cannot be read", plainly(error), again) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputInvalid(f"{path} cannot be read", "it is no kept change", again) from error
    if seal != _seal(content):
        raise ApprovalMissing(
            f"Change {name} of {environment} was altered",
            f"{path} is not what was written when it was reviewed",
            again,
        )
    review = Review.from_dict(content["review"])
    if review.environment != environment:
        raise ApprovalMissing(
            f"Change {name} is not one of {environment}", f"it is of {review.environment}", again
        )
    return NamedChange(
        name, content["made_at"], content["made_by"], content["commit"], content["image"], review
    )


def require_fresh(environment: Environment, change: NamedChange) -> None:
    """Refuse a change whose stacks somebody else has changed since it was reviewed.

    A layer that is already as wanted is fine: an earlier attempt got that far.

    Raises ApprovalMissing.
    """
    names = [item.layer for item in change.review.layers]
    stale = []
    for layer in load_planned(environment, names)[1]:
        reviewed = change.review.layer(layer.name)
        region = environment.region_of(layer.name)
        cloudformation = Patient(
            client(environment, "cloudformation", region), waiter_for(environment)
        )
        found = describe(cloudformation, layer.stack_name)
        if reviewed is None or fingerprint(cloudformation, found) == reviewed.base:
            continue
        there = found is not None and found.exists
        body = template_body(cloudformation, layer.stack_name) if there else ""
        if not there or not diff(layer, found, body).empty:
            stale.append(layer.name)
    if stale:
        raise ApprovalMissing(
            f"Change {change.name} of {environment.name} is stale",
            f"changed since the review of {change.made_at}: {', '.join(stale)}",
            f"nothing was changed; review again: make change ENV={environment.name} "
            f"NAME={change.name}",
        )


def _seal(content: dict[str, Any]) -> str:
    """Shows damage and hand edits. What may be executed is bound by the digest, not by this."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
