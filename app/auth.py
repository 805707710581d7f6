"""Who asks: bearer tokens and password hashes.

Tokens are JWT, HS256, one hour. Passwords are hashed with argon2id at the
cheapest of the equally strong settings OWASP lists (7 MiB, 5 passes, 1 lane):
about 20 ms of CPU, less than the 25 ms a 0.25 vCPU task may use per 100 ms
period, and little memory beside the 512 MiB of the smallest task.
"""

import time

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from flask import current_app, g, request
from sqlalchemy import inspect, select

from app.errors import AuthFailed
from app.store import User, find, session

TOKEN_LIFETIME_S = 3600
ADMIN = "admin"
"""The role of a user to whom everything belongs."""

_ALGORITHM = "HS256"
_HASHER = PasswordHasher(time_cost=5, memory_cost=7 * 1024, parallelism=1)
# Verified when there is no such user, so that the answer takes as long as for a
# wrong password. Made by `_HASHER` from a discarded random password.
_NOBODYS_HASH = (
    "$argon2id$v=19$m=7168,t=5,p=1$"
    "M5yLwz/OkrK4pbvBeKxxIQ$8HPQIwB8KhrEPT8a/8c/iC6t7BUzLWsZzNEYOWOVjR0"
)


def hash_password(password: str) -> str:
    """The argon2id hash to keep, with its salt and settings inside."""
    return _HASHER.hash(password)


def check_password(user: User | None, password: str) -> bool:
    """Whether the password is the user's; takes as long when there is no user."""
    try:
        _HASHER.verify(user.password_hash if user else _NOBODYS_HASH, password)
    except VerificationError:
        return False
    return user is not None


def is_outdated(user: User) -> bool:
    """Whether the user's hash was made with other settings than today's."""
    return _HASHER.check_needs_rehash(user.password_hash)


def issue_token(user: User) -> str:
    """A token for the user, good for TOKEN_LIFETIME_S."""
    now_s = int(time.time())
    claims = {
        "email": user.email,
        "userId": user.id,
        "iat": now_s,
        "exp": now_s + TOKEN_LIFETIME_S,
    }
    return jwt.encode(claims, current_app.config["JWT_KEY"], algorithm=_ALGORITHM)


def authenticate() -> None:
    """Find out whose request this is; raises AuthFailed unless it brings a good token.

    The user is looked up each time: a token dies with its user, and a role that is
    taken away is gone at once.
    """
    # The second word is the token whatever the first says; clients rely on it.
    words = request.headers.get("Authorization", "").split()
    if len(words) < 2:
        raise AuthFailed
    try:
        claims = jwt.decode(
            words[1],
            current_app.config["JWT_KEY"],
            algorithms=[_ALGORITHM],
            options={"require": ["exp", "userId"]},
        )
    except jwt.InvalidTokenError:
        raise AuthFailed from None
    user = find(User, claims["userId"])
    if user is None:
        raise AuthFailed
    g.user = user


def current_user() -> User:
    """The user whose request this is, once `authenticate` has found out."""
    user: User = g.user
    return user


def may_change(owner_id: str | None) -> bool:
    """Whether what that user owns (None: nobody) is this user's to see and change."""
    user = current_user()
    return user.role == ADMIN or user.id == owner_id


def require_user_still() -> None:
    """Raises AuthFailed when the user was deleted since the request began."""
    # After a rollback the row would be read again for its id, and is perhaps no more.
    (user_id,) = inspect(current_user()).identity or (None,)
    if session().scalar(select(User.id).where(User.id == user_id)) is None:
        raise AuthFailed
