"""CloudWatch as AWS answers it: a metric store, its statistics, queries and alarm records."""
