"""`python -m app.roles EMAIL admin|user`: give a user a role, in the task's own store.

In AWS: run the service's task definition once with this as its command.
Exit codes: 0 done, 2 not (no such user, or the store does not answer).
"""

import argparse
import os
import sys
from collections.abc import Sequence

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.auth import ADMIN
from app.config import Config
from app.database import Store
from app.errors import StartError
from app.store import User


def set_role(store: Store, email: str, role: str) -> None:
    """Give the user that role, `admin` or `user`; raises StartError when there is none."""
    with Session(store.engine) as session:
        changed = session.execute(
            update(User).where(User.email == email.lower()).values(role=role).returning(User.id)
        )
        if changed.first() is None:
            raise StartError(f"no role given: {email} is not signed up; sign up first")
        session.commit()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m app.roles", description=__doc__)
    parser.add_argument("email")
    parser.add_argument("role", choices=(ADMIN, "user"))
    chosen = parser.parse_args(arguments)
    try:
        store = Store(Config.from_environment(os.environ).store_url)
        try:
            set_role(store, chosen.email, chosen.role)
        finally:
            store.close()
    except StartError as error:
        print(f"app.roles: {error}", file=sys.stderr)
        return 2
    except SQLAlchemyError as error:
        print(
            f"app.roles: no role given: the store does not answer ({type(error).__name__}); "
            "check STORE_URL",
            file=sys.stderr,
        )
        return 2
    print(f"{chosen.email} is {chosen.role} now")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
