"""Ids, and the models' tables."""

import re
import time

from app.store import Base, new_id


def test_ids_are_hex_unique_sorted_by_age_and_tell_the_second():
    before_s = int(time.time())
    ids = []
    for _ in range(200):
        ids.append(new_id())
        time.sleep(1e-6)  # so that even a coarse clock moves on
    assert all(re.fullmatch("[0-9a-f]{24}", entry) for entry in ids)
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert before_s <= int(ids[0][:8], 16) <= time.time()


def test_tables():
    assert set(Base.metadata.tables) == {"product", "order", "user", "catalogue_seed"}
