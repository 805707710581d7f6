"""Forwarding what tasks print."""

from __future__ import annotations

from local_region.tasks import logs
from local_region.tasks.logs import BURST_LINES, LINES_PER_S, LogFile, forward


def collector():
    lines = []

    def put(group, stream, events):
        lines.extend(text for _, text in events)
        return True

    return lines, put


def test_complete_lines_only_until_the_task_has_ended(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nthr")
    file = LogFile(path, "g", "s")
    lines, put = collector()
    forward(file, put, 1.0)
    assert lines == ["one", "two"]
    with path.open("ab") as out:
        out.write(b"ee\nfour")
    forward(file, put, 2.0)
    assert lines == ["one", "two", "three"]
    file.ended = True
    forward(file, put, 3.0)
    assert lines[-1] == "four"


def test_flood_is_cut_and_said_so(tmp_path):
    path = tmp_path / "log"
    path.write_text("x\n" * (BURST_LINES + 7))
    lines, put = collector()
    file = LogFile(path, "g", "s")
    forward(file, put, 1.0)
    assert len(lines) == BURST_LINES + 1
    assert "7 more lines" in lines[-1]
    with path.open("a") as out:
        out.write("y\n" * 1000)
    forward(file, put, 2.0)
    assert lines.count("y") == LINES_PER_S


def test_file_without_a_group_is_bounded_only(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "LARGEST_FILE_BYTES", 10)
    path = tmp_path / "log"
    path.write_text("0123456789abc\n")
    lines, put = collector()
    forward(LogFile(path, None, "s"), put, 1.0)
    assert (lines, path.stat().st_size) == ([], 0)


def test_file_stays_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "LARGEST_FILE_BYTES", 10)
    path = tmp_path / "log"
    with path.open("ab", buffering=0) as task_output:
        task_output.write(b"0123456789abc\n")
        file = LogFile(path, "g", "s")
        lines, put = collector()
        forward(file, put, 1.0)
        assert path.stat().st_size == 0
        task_output.write(b"next\n")
        forward(file, put, 2.0)
    assert lines == ["0123456789abc", "next"]


def test_missing_file_and_garbled_text(tmp_path):
    lines, put = collector()
    forward(LogFile(tmp_path / "none", "g", "s"), put, 1.0)
    (tmp_path / "log").write_bytes(b"\xff\xfe\n\n")
    forward(LogFile(tmp_path / "log", "g", "s"), put, 1.0)
    assert len(lines) == 1
