from pathlib import Path

import pytest

from app.config import Config
from app.errors import StartError

KEY = "k" * 32


def test_defaults():
    config = Config.from_environment({"JWT_KEY": KEY})
    assert config == Config(jwt_key=KEY)
    assert (config.host, config.port, config.catalogue_seed) == ("0.0.0.0", 8000, 100)
    assert config.store_url == "sqlite:///data/shop.db"
    assert config.cpu_share is None


def test_every_variable_is_read():
    config = Config.from_environment(
        {
            "JWT_KEY": KEY,
            "HOST": "127.0.0.1",
            "PORT": "9000",
            "STORE_URL": "sqlite:////srv/x.db",
            "STORE_POOL_SIZE": "5",
            "THREADS": "4",
            "UPLOAD_DIR": "/srv/up",
            "IMAGE_BUCKET": "shop-images",
            "METRICS_NAMESPACE": "shop/dev",
            "METRICS_INTERVAL_S": "10",
            "CATALOGUE_SEED": "7",
            "LOG_LEVEL": "WARNING",
            "SERVICE_VERSION": "abc",
            "CREDENTIAL_LIMIT": "5 per second",
            "CREDENTIAL_LIMIT_STORAGE": "redis://h",
            "TRUSTED_PROXIES": "1",
            "PUBLIC_HOSTS": "Shop.example, b.example:8080,",
            "IN_TASK_CPU_SHARE": "0.25",
            "IN_TASK_CPU_STAT": "/run/stat",
        }
    )
    assert config == Config(
        jwt_key=KEY,
        host="127.0.0.1",
        port=9000,
        store_url="sqlite:////srv/x.db",
        store_pool_size=5,
        threads=4,
        upload_dir=Path("/srv/up"),
        image_bucket="shop-images",
        metrics_namespace="shop/dev",
        metrics_interval_s=10,
        catalogue_seed=7,
        log_level="warning",
        service_version="abc",
        credential_limit="5 per second",
        credential_limit_storage="redis://h",
        trusted_proxies=1,
        public_hosts=("shop.example", "b.example:8080"),
        cpu_share=0.25,
        cpu_stat=Path("/run/stat"),
    )


def test_an_empty_variable_counts_as_absent():
    assert Config.from_environment({"JWT_KEY": KEY, "PORT": ""}).port == 8000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_KEY", ""),
        ("JWT_KEY", "short"),
        ("PORT", "http"),
        ("PORT", "70000"),
        ("CATALOGUE_SEED", "-1"),
        ("LOG_LEVEL", "loud"),
        ("TRUSTED_PROXIES", "all"),
        ("PUBLIC_HOSTS", "https://shop.example"),
        ("STORE_URL", "mysql://u:hunter2@h/d"),
        ("STORE_URL", "postgresql+psycopg2://u:hunter2@h/d"),
        ("STORE_URL", "hunter2"),
        ("STORE_URL", "sqlite:///"),
        ("STORE_URL", "sqlite:///:memory:"),
        ("THREADS", "0"),
        ("STORE_POOL_SIZE", "1"),
        ("METRICS_INTERVAL_S", "0"),
        ("IN_TASK_CPU_SHARE", "0"),
        ("IN_TASK_CPU_SHARE", "nan"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_do(name, value):
    with pytest.raises(StartError, match=f"{name}.*; .*(give|set) ") as caught:
        Config.from_environment({"JWT_KEY": KEY, name: value})
    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_shown():
    config = Config(jwt_key=KEY, store_url="postgresql://u:hunter2@h/d")
    assert KEY not in repr(config)
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://", "postgresql://u:hunter2@h/d", "postgresql+psycopg://u@h:1/d"]
)
def test_postgresql_by_its_address_or_by_libpqs_own_variables(url):
    assert Config.from_environment({"JWT_KEY": KEY, "STORE_URL": url}).store_url == url


def test_the_pool_holds_a_connection_for_each_thread_and_one_for_ready():
    assert Config.from_environment({"JWT_KEY": KEY}).store_pool_size == 2
    assert Config.from_environment({"JWT_KEY": KEY, "THREADS": "4"}).store_pool_size == 5
