"""Users: sign up, log in, delete."""

import re

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from app.auth import check_password, hash_password, issue_token, login_required
from app.errors import AuthFailed, Conflict, Invalid, NotFound
from app.payload import read_fields, text
from app.store import User, session

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")

bp = Blueprint("users", __name__, url_prefix="/user")


@bp.post("/signup")
def signup() -> ResponseReturnValue:
    fields = read_fields()
    email = _email(fields.get("email"))
    password = _password(fields.get("password"))
    if session().scalar(select(User.id).where(User.email == email)) is not None:
        raise Conflict("Mail exists")
    session().add(User(email=email, password_hash=hash_password(password)))
    try:
        session().commit()
    except IntegrityError:  # taken since it was looked up
        raise Conflict("Mail exists") from None
    return {"message": "User created"}, 201


@bp.post("/login")
def login() -> ResponseReturnValue:
    fields = read_fields()
    try:
        email = _email(fields.get("email"))
        password = _password(fields.get("password"))
    except Invalid:
        raise AuthFailed from None
    user = session().scalar(select(User).where(User.email == email))
    if not check_password(user, password) or user is None:
        raise AuthFailed
    return {"message": "Auth successful", "token": issue_token(user)}


@bp.delete("/<user_id>")
@login_required
def remove(user_id: str) -> ResponseReturnValue:
    removed = session().execute(delete(User).where(User.id == user_id).returning(User.id))
    if removed.first() is None:
        raise NotFound("User not found")
    session().commit()
    return {"message": "User deleted"}


def _email(value: object) -> str:
    """The address in lower case: one person, one account."""
    email = text("email", value, longest=254).lower()
    if not _EMAIL.fullmatch(email):
        raise Invalid("email must be an e-mail address")
    return email


def _password(value: object) -> str:
    if not isinstance(value, str):
        raise Invalid("password must be text")
    return text("password", value, shortest=6, longest=256)
