"""What a change does to the running service, as far as its type and cause tell.

An estimate for the person who approves, from CloudFormation's documented update behaviour.
"""

from __future__ import annotations

from runbook.stacks.changesets import Change

_TASKS = "tasks are replaced a few at a time, none is missing"
_NONE = "none"
_UNKNOWN = "unknown"

#: What happens to users while a resource that stays is changed.
_IN_PLACE = {
    "AWS::ECS::Service": _TASKS,
    "AWS::ECS::TaskDefinition": _TASKS,
    "AWS::EC2::SecurityGroup": "connections may be cut that the new rules forbid",
    "AWS::EC2::SecurityGroupIngress": "connections may be cut that the new rules forbid",
    "AWS::EC2::Route": "open connections through the old route break",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "requests under way may end",
    "AWS::CloudFront::Distribution": "minutes until every edge location has it",
    "AWS::RDS::DBInstance": "may restart the database: minutes of downtime, or seconds with a "
    "standby",
    "AWS::RDS::DBCluster": "may restart the database: seconds to minutes of downtime",
}

#: Types whose change in place users do not meet: they watch, keep records or say who may.
_UNNOTICED = frozenset(
    {
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::CompositeAlarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::ECR::Repository",
        "AWS::Events::Rule",
        "AWS::Logs::LogGroup",
        "AWS::Route53::HealthCheck",
        "AWS::SNS::Subscription",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
        "AWS::Scheduler::Schedule",
    }
)

#: What happens while one thing is put in the place of another.
_REPLACED = {
    "AWS::ECS::TaskDefinition": _TASKS,
    "AWS::ECS::Service": "downtime if its name is fixed; else a second service starts first",
    "AWS::EC2::VPC": "downtime: everything inside is made anew",
    "AWS::EC2::Subnet": "downtime of what lies in it until it has moved",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "downtime until names point to the new address",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "tasks register anew: a rolling deployment",
    "AWS::ElasticLoadBalancingV2::Listener": "seconds of refused connections",
    "AWS::RDS::DBInstance": "downtime and an empty database",
    "AWS::RDS::DBCluster": "downtime and an empty database",
    "AWS::SecretsManager::Secret": "tasks keep the old value until they are replaced",
    "AWS::IAM::Role": _NONE,
    "AWS::CloudWatch::Alarm": "the alarm begins without history",
    "AWS::ApplicationAutoScaling::ScalableTarget": "no scaling until its policies are back",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "no scaling by it until its alarms have data",
}

#: RDS properties whose change restarts nothing.
_QUIET_DATABASE = frozenset(
    {
        "AllocatedStorage",
        "BackupRetentionPeriod",
        "CopyTagsToSnapshot",
        "DeletionProtection",
        "MaxAllocatedStorage",
        "PreferredBackupWindow",
        "PreferredMaintenanceWindow",
        "Tags",
        "VPCSecurityGroups",
    }
)


def effect(change: Change) -> str:
    """Restart or downtime to expect, in a few words.

    "none" where users meet nothing, "unknown" where that is not known.
    """
    if change.action == "Add" or set(change.causes) == {"Tags"}:
        return _NONE
    if change.action == "Remove":
        return "downtime of what uses it" if change.stateful else "gone for what uses it"
    if change.destructive:
        worst = _REPLACED.get(change.resource_type, "what uses it switches over")
        return f"if replaced: {worst}" if change.replacement == "Conditional" else worst
    database = change.resource_type.startswith("AWS::RDS::")
    if database and change.causes and set(change.causes) <= _QUIET_DATABASE:
        return _NONE
    if change.resource_type in _UNNOTICED:
        return _NONE
    return _IN_PLACE.get(change.resource_type, _UNKNOWN)
