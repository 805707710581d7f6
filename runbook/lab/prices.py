"""What things cost, in US dollars: prices with their date, and the memory they are paid for."""

from __future__ import annotations

from pathlib import Path

import yaml

READ = "2026-11"
"""When the prices were read from AWS's public price lists (eu-west-1)."""
#: Fargate, Linux/x86 on demand.
VCPU_HOUR_USD, GB_HOUR_USD = 0.04048, 0.004445
#: CloudWatch: ECS metrics of 20 s are charged as detailed monitoring, that is, as custom metrics
#: (the stacks turn on both, CPU and memory); an alarm with a period under 60 s costs more.
METRIC_MONTH_USD, FAST_METRICS = 0.30, 2
ALARM_MONTH_USD, FAST_ALARM_MONTH_USD = 0.10, 0.30
MONTH_S = 730 * 3600
_GB_PER_VCPU = 2.0


class _Opaque(yaml.SafeLoader):
    """Sceptre's resolvers are of no interest here."""


_Opaque.add_multi_constructor("!", lambda loader, suffix, node: None)


def task_hour_usd(cores: float, memory_gb: float) -> float:
    """A task-hour on Fargate."""
    return cores * VCPU_HOUR_USD + memory_gb * GB_HOUR_USD


def metrics_usd(fast_alarms: int, seconds: float) -> float:
    """What 20 s metrics cost over `seconds` beyond those of 60 s, with so many alarms on them."""
    if not fast_alarms:
        return 0.0
    dearer = fast_alarms * (FAST_ALARM_MONTH_USD - ALARM_MONTH_USD)
    return (FAST_METRICS * METRIC_MONTH_USD + dearer) * seconds / MONTH_S


def least_memory_gb(cores: float) -> float:
    """The least memory that Fargate sells with so many vCPU."""
    return _GB_PER_VCPU * cores


def configured_memory_gb(sceptre_dir: Path, environment: str) -> float | None:
    """The memory of a task as its environment's `service.yaml` has it; None where it does not."""
    path = sceptre_dir / "config" / environment / "service.yaml"
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Opaque)
        return float(content["parameters"]["TaskMemory"]) / 1024.0
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return None
