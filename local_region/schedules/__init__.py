"""EventBridge Scheduler: schedules that fire, with retries and dead letters."""
