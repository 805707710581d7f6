"""The one place where AWS clients are made.

`local` resolves to the running local region; every other environment to the
ordinary AWS chain (profile, role, AWS_ENDPOINT_URL).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from runbook import region
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, StackNotFound

#: Throttling and network faults are retried with growing pauses, a minute and a half in all.
_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 8}, connect_timeout=10, read_timeout=60
)
#: Links to objects need today's signature and the bucket's own region in their address.
_S3_CONFIG = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
#: The local region is on this machine: what refuses a connection there is not running.
_LOCAL_CONFIG = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=5)


def client(environment: Environment, service: str, region_name: str = "") -> Any:
    """A boto3 client of `service` for the environment, in its region unless another is named.

    Raises LocalRegionNotRunning for `local` when no local region answers.
    """
    where = region_name or environment.region
    told = os.environ.get("AWS_ENDPOINT_URL")
    if not environment.is_local or told:
        return _client(service, where, None, told)
    return _client(service, where, region.require_running().endpoint_url, None)


@lru_cache(maxsize=64)
def _client(service: str, region_name: str, endpoint_url: str | None, told: str | None) -> Any:
    # `told` is what boto3 reads by itself: another address is another client, also in a notebook.
    dummy = {"aws_access_key_id": "local", "aws_secret_access_key": "local"} if endpoint_url else {}
    config = _LOCAL_CONFIG if endpoint_url else _CONFIG
    if service == "s3":
        config = config.merge(_S3_CONFIG)
    return boto3.client(
        service, region_name=region_name, endpoint_url=endpoint_url, config=config, **dummy
    )


def pages(call: Any, key: str, **request: Any) -> Iterator[dict[str, Any]]:
    """Every item of a call that pages by NextToken."""
    while True:
        answer = call(**request)
        yield from answer[key]
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]


def caller_account(environment: Environment) -> str:
    """The account id that calls are made as. Raises AwsCallFailed without credentials."""
    try:
        return str(client(environment, "sts").get_caller_identity()["Account"])
    except (ClientError, BotoCoreError) as error:
        raise AwsCallFailed(
            "AWS does not know who is calling",
            str(error),
            f"log in for environment {environment.name} (aws sso login, or set AWS_PROFILE)",
        ) from error


def outputs(environment: Environment, layer: str) -> dict[str, str]:
    """The outputs of a layer's stack, by key.

    Raises StackNotFound when the stack does not exist, AwsCallFailed otherwise.
    """
    found = _stack(environment, layer).get("Outputs", [])
    return {item["OutputKey"]: item["OutputValue"] for item in found}


def parameters(environment: Environment, layer: str) -> dict[str, str]:
    """The parameters that a layer's stack was last given, defaults included, by key.

    Raises StackNotFound when the stack does not exist, AwsCallFailed otherwise.
    """
    found = _stack(environment, layer).get("Parameters", [])
    return {item["ParameterKey"]: item.get("ParameterValue", "") for item in found}


def _stack(environment: Environment, layer: str) -> dict[str, Any]:
    name = environment.stack_name(layer)
    try:
        cloudformation = client(environment, "cloudformation", environment.region_of(layer))
        return dict(cloudformation.describe_stacks(StackName=name)["Stacks"][0])
    except ClientError as error:
        if "does not exist" in str(error):
            raise StackNotFound(
                f"Stack {name} not found",
                f"environment {environment.name} has not been deployed that far",
                f"deploy it: runbook run 10_deploy --env {environment.name}",
            ) from error
        raise AwsCallFailed(
            f"Stack {name} cannot be described", str(error), "check credentials and region"
        ) from error
    except BotoCoreError as error:
        raise AwsCallFailed(
            f"Stack {name} cannot be described", str(error), "check network and credentials"
        ) from error
