"""A service's refusal as CloudFormation reports it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

_CODES = ("NotFound", "NoSuch", "DoesNotExist", "Missing")


@contextmanager
def reported(resource_type: str) -> Iterator[None]:
    """Turn what boto3 raises into the message of a failed resource."""
    try:
        yield
    except ClientError as error:
        answer = error.response["Error"]
        raise ValueError(
            f'Resource handler returned message: "{answer.get("Message", "")} (Service: '
            f'{resource_type.split("::")[1]}, Error Code: {answer.get("Code", "")})" '
            "(HandlerErrorCode: GeneralServiceException)"
        ) from error
    except BotoCoreError as error:
        raise ValueError(
            f'Resource handler returned message: "{error}" (HandlerErrorCode: InvalidRequest)'
        ) from error


@contextmanager
def gone_is_fine() -> Iterator[None]:
    """Deleting what is no longer there is no failure."""
    try:
        yield
    except ClientError as error:
        if not any(code in error.response["Error"].get("Code", "") for code in _CODES):
            raise
