"""The image installs what the project is tested with."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def _pins(path):
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", path.read_text(), flags=re.MULTILINE))


def test_the_image_has_the_versions_of_the_project():
    image = _pins(PROJECT / "app" / "requirements.lock")
    assert image.items() <= _pins(PROJECT / "requirements.lock").items()


def test_the_image_has_what_it_asks_for_by_hash_and_from_nowhere_in_particular():
    folder = PROJECT / "app"
    asked = re.findall(r"^[a-z0-9-]+", (folder / "requirements.in").read_text(), re.MULTILINE)
    assert set(asked) <= set(_pins(folder / "requirements.lock"))
    lock = (folder / "requirements.lock").read_text()
    assert "://" not in lock
    blocks = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
