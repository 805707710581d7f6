"""What the environment says about this service, read once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.database import POOL_SIZE
from app.errors import StartError

# RFC 7518, 3.2: an HS256 key has at least as many bits as the hash.
_JWT_KEY_BYTES_MIN = 32
_HOST = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?")
_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True)
class Config:
    """Settings of one task. Relative paths count from the working directory."""

    jwt_key: str = field(repr=False)
    host: str = "0.0.0.0"
    port: int = 8000
    store_url: str = field(default="sqlite:///data/shop.db", repr=False)
    store_pool_size: int = POOL_SIZE
    """Connections to the store that this task keeps at most."""
    threads: int = 1
    """Requests that run at once."""
    upload_dir: Path = Path("data/uploads")
    image_bucket: str | None = None
    """S3 bucket that product images are kept in; `upload_dir` when None."""
    catalogue_seed: int = 100
    """Products that the catalogue starts with."""
    log_level: str = "info"
    metrics_namespace: str = "Shop"
    """CloudWatch namespace of the service's own metrics."""
    metrics_interval_s: int = 60
    """How often they are written to the log."""
    service_version: str = "dev"
    credential_limit: str = "60 per minute"
    """Attempts to sign up or log in, per client address."""
    credential_limit_storage: str = field(default="memory://", repr=False)
    """Where attempts are counted: in each process, or at an address of a shared storage."""
    trusted_proxies: int = 0
    """Load balancers in front whose X-Forwarded-For and -Proto are believed."""
    public_hosts: tuple[str, ...] = ()
    """Hosts that the service is known by; the request's own when none is given."""
    cpu_share: float | None = None
    """vCPUs this process may use, enforced by `throttle`; None leaves it to the platform."""
    cpu_stat: Path | None = None
    """File that `throttle` keeps its counts in."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Config":
        """Read the settings; an empty variable counts as absent.

        Raises StartError naming the variable that is missing or wrong.
        """
        env = {name: value for name, value in environment.items() if value}
        share = env.get("IN_TASK_CPU_SHARE")
        stat = env.get("IN_TASK_CPU_STAT")
        threads = _integer("THREADS", env.get("THREADS", str(cls.threads)), 1, 64)
        pool_size = _integer(
            "STORE_POOL_SIZE", env.get("STORE_POOL_SIZE", str(threads + 1)), threads + 1, 200
        )
        return cls(
            jwt_key=_jwt_key(env.get("JWT_KEY", "")),
            host=env.get("HOST", cls.host),
            port=_integer("PORT", env.get("PORT", str(cls.port)), 1, 65_535),
            store_url=_store_url(env.get("STORE_URL", cls.store_url)),
            store_pool_size=pool_size,
            threads=threads,
            upload_dir=Path(env.get("UPLOAD_DIR", cls.upload_dir)),
            image_bucket=env.get("IMAGE_BUCKET"),
            catalogue_seed=_integer(
                "CATALOGUE_SEED", env.get("CATALOGUE_SEED", str(cls.catalogue_seed)), 0, 10_000
            ),
            log_level=_log_level(env.get("LOG_LEVEL", cls.log_level)),
            metrics_namespace=env.get("METRICS_NAMESPACE", cls.metrics_namespace),
            metrics_interval_s=_integer(
                "METRICS_INTERVAL_S", env.get("METRICS_INTERVAL_S", "60"), 1, 3600
            ),
            service_version=env.get("SERVICE_VERSION", cls.service_version),
            credential_limit=env.get("CREDENTIAL_LIMIT", cls.credential_limit),
            credential_limit_storage=env.get("CREDENTIAL_LIMIT_STORAGE", "memory://"),
            trusted_proxies=_integer("TRUSTED_PROXIES", env.get("TRUSTED_PROXIES", "0"), 0, 9),
            public_hosts=_hosts(env.get("PUBLIC_HOSTS", "")),
            cpu_share=None if share is None else _cpu_share(share),
            cpu_stat=None if stat is None else Path(stat),
        )


def _jwt_key(value: str) -> str:
    advice = (
        "set it from a secret store, or for a trial on this machine: "
        "export JWT_KEY=$(python3 -c 'import secrets; print(secrets.token_hex(32))')"
    )
    if not value:
        raise StartError(f"no signing key: JWT_KEY is not set; {advice}")
    if len(value.encode()) < _JWT_KEY_BYTES_MIN:
        raise StartError(
            f"weak signing key: JWT_KEY is shorter than {_JWT_KEY_BYTES_MIN} bytes; {advice}"
        )
    return value


def _integer(name: str, value: str, low: int, high: int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise StartError(f"{name} is wrong: {value!r}; give a whole number from {low} to {high}")
    return number


def _store_url(value: str) -> str:
    # A database address holds its password: it is not repeated here.
    advice = "give sqlite:///<path>, or postgresql+psycopg:// with the PG* variables set"
    try:
        url = make_url(value)
    except ArgumentError:
        raise StartError(f"STORE_URL is wrong: it is no database address; {advice}") from None
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        return value
    if url.drivername != "sqlite" or url.host or url.database in (None, "", ":memory:"):
        raise StartError(
            f"STORE_URL is wrong: the store is a SQLite file or PostgreSQL by psycopg; {advice}"
        )
    return value


def _hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(host.strip().lower() for host in value.split(",") if host.strip())
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise StartError(
            f"PUBLIC_HOSTS is wrong: {value!r}; give host names such as shop.example.com, "
            "with the port if it is not the usual one, and a comma between two"
        )
    return hosts


def _log_level(value: str) -> str:
    if value.lower() not in _LOG_LEVELS:
        raise StartError(f"LOG_LEVEL is wrong: {value!r}; give one of {', '.join(_LOG_LEVELS)}")
    return value.lower()


def _cpu_share(value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = 0.0
    if not 0.0 < share <= 64.0:
        raise StartError(f"IN_TASK_CPU_SHARE is wrong: {value!r}; give vCPUs, such as 0.25")
    return share
