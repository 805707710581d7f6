"""What tests of seams need: names put back, and the emulator's stores empty."""

import pytest

from local_region.seams import core

SCOPE = ("000000000000", "eu-west-1")


@pytest.fixture
def restore():
    """`restore(owner, name)` puts a name back after the test."""
    kept = []

    def keep(owner, name):
        kept.append((owner, name, core.attribute(owner, name)))
        return owner

    yield keep
    for owner, name, old in reversed(kept):
        core.replace(owner, name, old)


@pytest.fixture
def cw():
    module = core.module("services.cloudwatch")
    module.reset()
    with core.request_scope(*SCOPE):
        yield module
    module.reset()
