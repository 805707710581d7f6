"""Finding out where a control group could be made, and reading one."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_region.tasks import cgroups
from local_region.tasks.cgroups import CgroupV1, CgroupV2

V1 = """\
30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
31 25 0:27 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory
"""
V1_APART = """\
30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
31 25 0:27 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct
33 25 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
"""
V2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_version_1_in_one_mount():
    mounts = cgroups.parse_mounts(V1)
    memberships = cgroups.parse_memberships("4:cpu,cpuacct:/user.slice\n0::/x\n")
    own = Path("/sys/fs/cgroup/cpu,cpuacct/user.slice")
    root = Path("/sys/fs/cgroup/cpu,cpuacct")
    assert list(cgroups.parents_v1(mounts, memberships)) == [(own, own), (root, root)]


def test_version_1_in_two_mounts():
    mounts = cgroups.parse_mounts(V1_APART)
    found = list(cgroups.parents_v1(mounts, {"cpu": "/", "cpuacct": "/"}))
    assert found[0] == (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpuacct"))


def test_version_1_without_cpuacct_is_of_no_use():
    mounts = cgroups.parse_mounts(V1_APART.splitlines()[0])
    assert not list(cgroups.parents_v1(mounts, {}))


def test_version_2_prefers_the_place_beside_us():
    mounts = cgroups.parse_mounts(V2)
    assert [str(p) for p in cgroups.parents_v2(mounts, {"": "/user.slice/session"})] == [
        "/sys/fs/cgroup/user.slice",
        "/sys/fs/cgroup/user.slice/session",
        "/sys/fs/cgroup",
    ]
    assert [str(p) for p in cgroups.parents_v2(mounts, {"": "/"})] == ["/sys/fs/cgroup"]


def test_version_1_limit_and_account(tmp_path):
    for name in ("cpu/t", "acct/t"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "cpu/t/cpu.stat").write_text("nr_periods 12\nnr_throttled 3\nthrottled_time 5000\n")
    (tmp_path / "acct/t/cpuacct.usage").write_text("2500000\n")
    hierarchy = CgroupV1(tmp_path / "cpu", tmp_path / "acct")
    hierarchy.limit("t", 0.25)
    assert (tmp_path / "cpu/t/cpu.cfs_quota_us").read_text() == "25000"
    assert (tmp_path / "cpu/t/cpu.cfs_period_us").read_text() == "100000"
    assert hierarchy.read("t") == {
        "usage_usec": 2500, "nr_periods": 12, "nr_throttled": 3, "throttled_usec": 5,
    }  # fmt: skip
    assert len(hierarchy.procs("t")) == 2


def test_version_2_limit_and_account(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t/cpu.stat").write_text("usage_usec 9\nnr_periods 1\nnr_throttled 0\n")
    hierarchy = CgroupV2(tmp_path)
    hierarchy.limit("t", 0.5)
    assert (tmp_path / "t/cpu.max").read_text() == "50000 100000"
    assert hierarchy.read("t")["usage_usec"] == 9


def test_group_of_a_dead_region_is_removed_and_of_a_live_one_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroups, "_is_alive", lambda pid, started: pid == 11)
    for name in ("local-region-10-1000/task", "local-region-11-1000", "somebody-else"):
        (tmp_path / name).mkdir(parents=True)
    cgroups.remove_stale(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"local-region-11-1000", "somebody-else"}


def test_removing_what_is_gone_is_fine(tmp_path):
    assert cgroups.remove_group(tmp_path / "none")


def test_group_in_use_is_not_removed(tmp_path):
    (tmp_path / "g/task").mkdir(parents=True)
    assert not cgroups.remove_group(tmp_path / "g", attempts=1)


@pytest.mark.parametrize("text", ["", "nonsense", "a b c\n"])
def test_garbled_stat_is_empty(text):
    assert cgroups.parse_stat(text) == {}
