"""Open-loop load: arrival schedules, the driver process, what it measured and whether it counts."""
