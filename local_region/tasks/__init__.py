"""Tasks: a service's desired count becomes real processes, started, watched, replaced, drained."""
