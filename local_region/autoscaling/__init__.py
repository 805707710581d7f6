"""Application Auto Scaling for ECS services: its API, its alarms, its activities."""
