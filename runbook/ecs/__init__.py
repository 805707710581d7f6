"""The ECS service as it runs: its image, its tasks, and whether it answers."""
