"""The proof: a rising load that needs more tasks, what the service did, and the verdict."""

from runbook.verify.analysis import Verification, analyse
from runbook.verify.plan import VerificationPlan, plan_verification, shape
from runbook.verify.run import run_verification
from runbook.verify.timeline import AlarmTrack, Timeline

__all__ = [
    "AlarmTrack",
    "Timeline",
    "Verification",
    "VerificationPlan",
    "analyse",
    "plan_verification",
    "run_verification",
    "shape",
]
