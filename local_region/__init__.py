"""The local region: an AWS endpoint on loopback whose service really runs and really scales.

An emulator (ministack) keeps the records of most services; this package starts it in-process,
adds what it lacks (the control plane: CloudFormation types, application-autoscaling, CloudWatch
metrics and alarms) and makes the ECS service real (the data plane: tasks, balancer, metering).
It runs as a process of its own, `python -m local_region`, and is known to the rest of the
project only by its endpoint and its state file.
"""
