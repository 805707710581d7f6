"""Users: sign up, log in, delete."""

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from app import answers
from app.auth import check_password, hash_password, is_outdated, issue_token, may_change
from app.bodies import Credentials, NewUser, is_email
from app.errors import AuthFailed, Conflict, Forbidden, NotFound, TooMany
from app.limits import client_address, current_limits
from app.operation import operation
from app.store import User, find, session

bp = Blueprint("users", __name__, url_prefix="/user")


@bp.post("/signup")
@operation("Sign up", answers.Outcome, status=201, body=NewUser, errors=(Conflict, TooMany))
def signup(body: NewUser) -> ResponseReturnValue:
    current_limits().attempt(client_address())
    email = _kept(body.email)
    if session().scalar(select(User.id).where(User.email == email)) is not None:
        raise Conflict("Mail exists")
    session().add(User(email=email, password_hash=hash_password(body.password)))
    try:
        session().commit()
    except IntegrityError:  # taken since it was looked up
        raise Conflict("Mail exists") from None
    answer: answers.Outcome = {"message": "User created"}
    return answer, 201


@bp.post("/login")
@operation(
    "Log in: a token for an hour", answers.LoggedIn, body=Credentials, errors=(AuthFailed, TooMany)
)
def login(body: Credentials) -> ResponseReturnValue:
    limits = current_limits()
    limits.attempt(client_address())
    if not is_email(body.email) or not isinstance(body.password, str):
        raise AuthFailed
    email = _kept(body.email)
    limits.require_few_failures(email)
    user = session().scalar(select(User).where(User.email == email))
    if not check_password(user, body.password) or user is None:
        limits.failed(email)
        raise AuthFailed
    if is_outdated(user):
        user.password_hash = hash_password(body.password)
        session().commit()
    answer: answers.LoggedIn = {"message": "Auth successful", "token": issue_token(user)}
    return answer


@bp.delete("/<user_id>")
@operation(
    "Delete oneself, or as an admin anybody",
    answers.Outcome,
    login=True,
    errors=(Forbidden, NotFound),
)
def remove(user_id: str) -> ResponseReturnValue:
    if not may_change(user_id):
        raise Forbidden("Only the user, or an admin, may do this")
    user = find(User, user_id)
    if user is None:
        raise NotFound("User not found")
    session().execute(delete(User).where(User.id == user.id))
    session().commit()
    answer: answers.Outcome = {"message": "User deleted"}
    return answer


def _kept(email: str) -> str:
    """In lower case: one person, one account."""
    return email.lower()
