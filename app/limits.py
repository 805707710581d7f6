"""How often credentials may be tried.

Every attempt costs the task a password hash, so attempts count for the address
they come from; failures also count for the e-mail address they name, wherever
they come from. Counts are kept in the process unless a shared storage is
configured: with n tasks, a client then has up to n times as many attempts.
"""

import time

from flask import Flask, current_app, request
from limits import RateLimitItem, parse
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from app.errors import StartError, TooMany

FAILURES_PER_EMAIL = "10 per 15 minutes"

_LONGEST_EMAIL = 254


class CredentialLimits:
    """`per_address` such as `60 per minute`; `storage_url` as the `limits` library reads it."""

    def __init__(self, per_address: str, storage_url: str) -> None:
        try:
            self._per_address = parse(per_address)
        except ValueError:
            raise StartError(
                f"CREDENTIAL_LIMIT is wrong: {per_address!r}; give one such as '60 per minute'"
            ) from None
        self._failures_per_email = parse(FAILURES_PER_EMAIL)
        try:
            storage = storage_from_string(storage_url, wrap_exceptions=True)
        except ConfigurationError as error:
            # The address may hold a password: it is not repeated here.
            reason = type(error.__cause__ or error).__name__
            raise StartError(
                f"CREDENTIAL_LIMIT_STORAGE cannot be used: {reason}; give memory://, or the "
                "address of a storage whose client library is installed"
            ) from None
        self._limiter = MovingWindowRateLimiter(storage)

    def attempt(self, address: str) -> None:
        """Count one attempt; raises TooMany when there were too many."""
        try:
            if not self._limiter.hit(self._per_address, "address", address):
                raise self._too_many(self._per_address, "address", address)
        except StorageError as error:
            _tell(error)

    def require_few_failures(self, email: str) -> None:
        """Raises TooMany when the last logins under that e-mail address failed."""
        try:
            if not self._limiter.test(self._failures_per_email, "email", _key(email)):
                raise self._too_many(self._failures_per_email, "email", _key(email))
        except StorageError as error:
            _tell(error)

    def failed(self, email: str) -> None:
        """Count one failed login."""
        try:
            self._limiter.hit(self._failures_per_email, "email", _key(email))
        except StorageError as error:
            _tell(error)

    def _too_many(self, item: RateLimitItem, *key: str) -> TooMany:
        window = self._limiter.get_window_stats(item, *key)
        return TooMany(max(1, round(window.reset_time - time.time())))


def _key(email: str) -> str:
    return email[:_LONGEST_EMAIL]


def _tell(error: StorageError) -> None:
    """Logins go on when the shared storage does not answer: the hash still slows a guesser."""
    current_app.logger.error("the credential limits are not counted", exc_info=error)


def init_app(app: Flask, per_address: str, storage_url: str) -> None:
    """Give the application its limits; raises StartError."""
    app.extensions["credential_limits"] = CredentialLimits(per_address, storage_url)


def current_limits() -> CredentialLimits:
    """The limits of the running application."""
    limits: CredentialLimits = current_app.extensions["credential_limits"]
    return limits


def client_address() -> str:
    """Where the request comes from: the peer, or whom the trusted proxies name."""
    return request.remote_addr or "unknown"
