"""One history of a fleet, as a worker plays it."""

from runbook.capacity.curve import CapacityCurve
from runbook.lab.fleet import Job, play_one


def test_an_error_names_the_file_where_its_owner_has_it(curve: CapacityCurve) -> None:
    job = Job(curve, ("cpu-70-60s",))
    told = play_one("web.csv", b"nonsense\n", job, "traffic/web.csv")["error"]
    assert told.startswith("traffic/web.csv is no history: its columns are nonsense;")
    assert play_one("web.csv", b"nonsense\n", job)["error"].startswith("web.csv is no history")
