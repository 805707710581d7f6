"""Which revision is gone back to."""

import pytest

from runbook.ecs.revisions import Revision, choose
from runbook.errors import InputInvalid


def history(*images: str) -> list[Revision]:
    """Revisions 1, 2, ... of these images, the newest first and running."""
    made = [
        Revision(n, f"td:{n}", False, f"repo@sha256:{image}", 256, 512, (), (), None, False)
        for n, image in enumerate(images, start=1)
    ]
    newest = made.pop()
    return [Revision(**{**vars(newest), "current": True}), *reversed(made)]


@pytest.mark.parametrize(
    ("images", "wanted"),
    [
        ("ab", 1),
        ("abb", 1),
        ("abc", 2),
        ("zaba", 1),
        ("zabab", 2),
    ],
)
def test_back_to_what_was_there_before_and_again_further_back(images: str, wanted: int) -> None:
    assert choose(history(*images)).number == wanted


def test_what_never_served_is_passed_over_unless_it_is_named() -> None:
    known = history("a", "b", "c")
    assert choose(known, avoid={"td:2"}).number == 1
    assert choose(known, 2, avoid={"td:2"}).number == 2


@pytest.mark.parametrize(("images", "number"), [("a", 0), ("aa", 0), ("aba", 0), ("ab", 7)])
def test_nothing_to_go_back_to(images: str, number: int) -> None:
    with pytest.raises(InputInvalid, match="to go back to"):
        choose(history(*images), number)
