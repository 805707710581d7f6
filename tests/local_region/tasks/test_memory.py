"""What a task's memory is."""

from __future__ import annotations

import os

from local_region.tasks import memory
from local_region.tasks.memory import ProcessMemory, parse_rollup

ROLLUP = """\
55d0-7ffe ---p 00000000 00:00 0    [rollup]
Rss:               50000 kB
Pss:               30000 kB
Shared_Clean:      10000 kB
Shared_Dirty:       2000 kB
Private_Clean:      3000 kB
Private_Dirty:     35000 kB
"""


def test_rollup():
    assert parse_rollup(ROLLUP) == ProcessMemory(38000 * 1024, 12000 * 1024)


def test_shared_pages_of_one_task_count_once(monkeypatch):
    monkeypatch.setattr(memory, "process_tree", lambda pid: [1, 2])
    found = {1: ProcessMemory(10, 7), 2: ProcessMemory(20, 5)}
    monkeypatch.setattr(memory, "_memory", found.__getitem__)
    assert memory.task_bytes(1) == 37


def test_task_that_is_gone(monkeypatch):
    monkeypatch.setattr(memory, "process_tree", lambda pid: [])
    assert memory.task_bytes(1) is None


def test_this_process():
    used = memory.task_bytes(os.getpid())
    assert used is not None
    assert 5e6 < used <= memory.rss_bytes(os.getpid()) * 1.2
