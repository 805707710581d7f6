"""Property tests give the same answer on every run and do not fail on a slow machine."""

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
