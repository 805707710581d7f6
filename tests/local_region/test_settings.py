from local_region.settings import Settings


def test_compression_puts_local_numbers_beside_awss():
    compression = Settings(period_s=10).compression()
    assert compression == {
        "metric_period_s": 10,
        "aws_metric_period_s": 60,
        "alarm_high_periods": 3,
        "aws_alarm_high_periods": 3,
        "alarm_low_periods": 6,
        "aws_alarm_low_periods": 15,
        "health_check_time_factor": 10 / 60,
    }


def test_awss_own_period_compresses_no_health_checks():
    assert Settings(period_s=60).compression()["health_check_time_factor"] == 1
