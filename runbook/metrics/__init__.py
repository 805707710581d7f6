"""CloudWatch, alarms' history and scaling activities as pandas frames."""
