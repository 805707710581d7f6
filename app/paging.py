"""Lists in parts, on demand.

Ids grow with age, so a page is told by the id before it and stays the same
whatever is added meanwhile. The address of the next page is in the `Link` header
(RFC 8288), because the bodies have no room for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVarTuple
from urllib.parse import urlencode

from flask import request
from flask.typing import ResponseReturnValue
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute

from app.bodies import Page

_Columns = TypeVarTuple("_Columns")


def page_of(
    query: Select[*_Columns], id_column: InstrumentedAttribute[str], page: Page
) -> Select[*_Columns]:
    """The query for that page, in the order of ids."""
    query = query.order_by(id_column)
    if page.after is not None:
        query = query.where(id_column > page.after)
    if page.limit is not None:
        query = query.limit(page.limit)
    return query


def with_next_page(
    answer: Mapping[str, Any], page: Page, listed_ids: Sequence[str]
) -> ResponseReturnValue:
    """The answer, with a link to the next page when there may be one."""
    if page.limit is None or len(listed_ids) < page.limit:
        return answer
    following = urlencode({"limit": page.limit, "after": listed_ids[-1]})
    return answer, {"Link": f'<{request.base_url}?{following}>; rel="next"'}
