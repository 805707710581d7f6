"""Stacks: plan, review, apply, delete, and why the last change failed.

Sceptre renders templates, parameters and tags; change sets go through CloudFormation's API.
"""

from runbook.stacks.deployed import status
from runbook.stacks.events import StackEvent
from runbook.stacks.failures import Failure, last_failures
from runbook.stacks.launch import LayerOutcome, apply, apply_edit
from runbook.stacks.lock import held
from runbook.stacks.plan import plan_changes
from runbook.stacks.proposal import proposed_copy
from runbook.stacks.remove import delete, deletion_order
from runbook.stacks.review import Approvable, LayerReview, Review, require_approval

__all__ = [
    "Approvable",
    "Failure",
    "LayerOutcome",
    "LayerReview",
    "Review",
    "StackEvent",
    "apply",
    "apply_edit",
    "delete",
    "deletion_order",
    "held",
    "last_failures",
    "plan_changes",
    "proposed_copy",
    "require_approval",
    "status",
]
