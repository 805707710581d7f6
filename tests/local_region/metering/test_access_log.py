"""Reading the balancer's log, rotation included."""

from __future__ import annotations

import os

import pytest

from local_region.metering.access_log import LogTail, parse_line

LINE = (
    "1700000000.250000\tapp/lb/1\ttargetgroup/g/1\t127.0.0.1:20001\t200\t-\tvia_upstream"
    "\t4321\t5000"
)


def test_line():
    request = parse_line(LINE + "\n")
    assert request is not None
    assert request.at == pytest.approx(1700000000.255)
    assert (request.load_balancer, request.target_group) == ("app/lb/1", "targetgroup/g/1")
    assert (request.target_us, request.total_us, request.status) == (4321, 5000, 200)
    assert request.from_target


def test_line_of_a_request_without_a_target():
    request = parse_line("1700000000.0\tapp/lb/1\tg\t-\t503\tUH\tno_healthy_upstream\t-\t12")
    assert request is not None
    assert (request.target, request.target_us, request.from_target) == (None, None, False)


@pytest.mark.parametrize("line", ["", "a\tb", LINE.replace("200", "abc"), LINE + "\tmore"])
def test_garbled_line(line):
    assert parse_line(line) is None


class Writer:
    """Appends to the file, and opens it anew when asked, as Envoy does."""

    def __init__(self, path):
        self.path, self.now = path, 0.0
        self.file = path.open("ab", buffering=0)

    def write(self, *lines):
        self.file.write("".join(f"{line}\n" for line in lines).encode())

    def reopen(self):
        self.file.close()
        self.file = self.path.open("ab", buffering=0)
        return True


@pytest.fixture
def writer(tmp_path):
    writer = Writer(tmp_path / "access.log")
    yield writer
    writer.file.close()


@pytest.fixture
def tail(writer):
    tail = LogTail(writer.path, writer.reopen, largest_bytes=100, clock=lambda: writer.now)
    yield tail
    tail.close()


def test_follows_complete_lines(writer, tail):
    writer.write("one", "two")
    assert tail.read_lines() == ["one", "two"]
    writer.file.write(b"thr")
    assert tail.read_lines() == []
    writer.file.write(b"ee\n")
    assert tail.read_lines() == ["three"]


def test_file_that_is_not_there_yet(tmp_path):
    tail = LogTail(tmp_path / "later.log", lambda: True)
    assert tail.read_lines() == []
    (tmp_path / "later.log").write_text("x\n")
    assert tail.read_lines() == ["x"]
    tail.close()


def test_rotation_loses_nothing_and_bounds_the_disk(writer, tail):
    seen = []
    for number in range(300):
        writer.write(f"line {number:04d}")
        writer.now += 0.3
        seen += tail.read_lines()
        size = sum(os.path.getsize(p) for p in writer.path.parent.iterdir())
        assert size < 400
    writer.now += 5
    seen += tail.read_lines()
    assert seen == [f"line {number:04d}" for number in range(300)]
    assert {p.name for p in writer.path.parent.iterdir()} <= {"access.log", "access.log.1"}


def test_last_lines_in_the_old_file_are_read(writer, tail):
    writer.write("x" * 120)
    assert len(tail.read_lines()) == 1  # grown too large: renamed
    os.close(os.open(writer.path, os.O_CREAT))
    with tail.rotated_path.open("ab") as old:
        old.write(b"late\n")
    writer.write("new")
    writer.now += 2
    assert tail.read_lines() == ["late", "new"]


def test_balancer_that_does_not_reopen_keeps_its_file(tmp_path):
    path = tmp_path / "access.log"
    path.write_text("x" * 200 + "\n")
    tail = LogTail(path, lambda: False, largest_bytes=100)
    tail.read_lines()
    assert path.exists()
    assert not tail.rotated_path.exists()
    tail.close()


def test_emptied_file_is_read_from_its_start(writer, tail):
    writer.write("one")
    tail.read_lines()
    os.truncate(writer.path, 0)
    writer.write("2")
    assert tail.read_lines() == ["2"]
