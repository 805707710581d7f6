"""Tasks as containers: what the engine is told, and that what runs is what was pushed."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from local_region.errors import DataPlaneFailed
from local_region.tasks import containers
from local_region.tasks.engine_images import EngineImages, docker_archive
from local_region.tasks.images import CannotPullContainer, Image
from local_region.tasks.launcher import Start
from local_region.tasks.spec import ContainerSpec

HOST = "000000000000.dkr.ecr.eu-west-1.amazonaws.com"
CONFIG = json.dumps({"config": {"Env": ["A=1", "PATH=/x"], "Cmd": ["run"]}}).encode()
LAYER = gzip.compress(b"layer", mtime=0)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


MANIFEST = json.dumps(
    {"config": {"digest": digest(CONFIG)}, "layers": [{"digest": digest(LAYER)}]}
).encode()


BLOBS = {digest(CONFIG): CONFIG, digest(LAYER): LAYER}


class Registry:
    def manifest(self, repository, reference):
        return (digest(MANIFEST), MANIFEST) if repository == "shop" else None

    def blob(self, repository, wanted):
        return BLOBS.get(wanted)


SPEC = ContainerSpec(
    name="app", image=f"{HOST}/shop:1", command=("python", "-m", "app"), entrypoint=(),
    environment={"LOG_LEVEL": "info"}, secrets=(), working_directory=None, port=8000,
    mounts={"/srv/data": "data"}, read_only=True, stop_timeout_s=30, cores=0.25, memory_mib=512,
    log_group=None, log_prefix=None,
)  # fmt: skip


def start(tmp_path, **changes):
    return Start(
        task_id="t1", container=replace(SPEC, **changes),
        image=Image(digest(MANIFEST), tmp_path, {}, (), (), "/srv"), directory=tmp_path,
        log=tmp_path / "t1.log", secrets={"JWT_KEY": "hidden"}, port=1234, region={},
    )  # fmt: skip


def command(tmp_path, engine="podman", **changes):
    variables = {"LOG_LEVEL": "info", "JWT_KEY": "hidden", "PORT": "1234"}
    names = containers.Names(Path("/region"))
    return containers.run_command(engine, names, start(tmp_path, **changes), variables)


def test_share_memory_and_image_are_the_definitions(tmp_path):
    said = " ".join(command(tmp_path))
    assert said.startswith("podman run --name local-region-")
    for part in (
        "--cpus 0.25", "--memory 512m", "--stop-timeout 30", "--network host",
        "--read-only --read-only-tmpfs=false", "--env LOG_LEVEL=info", "--env PORT=1234",
    ):  # fmt: skip
        assert part in said
    assert said.endswith(f":{digest(MANIFEST)[7:]} python -m app")


def test_a_secret_is_named_and_not_shown(tmp_path):
    said = command(tmp_path)
    assert said[said.index("JWT_KEY") - 1] == "--env"
    assert not any("hidden" in part for part in said)


def test_a_mount_is_a_volume_of_this_region_only(tmp_path):
    said = command(tmp_path)
    volume = said[said.index("--volume") + 1]
    other = containers.Names(Path("/other")).volume("data")
    assert volume.endswith("-data:/srv/data")
    assert volume != f"{other}:/srv/data"


def test_docker_has_no_option_for_what_it_never_mounts(tmp_path):
    assert "--read-only" in command(tmp_path, "docker")
    assert "--read-only-tmpfs=false" not in command(tmp_path, "docker")
    assert "--read-only" not in command(tmp_path, read_only=False)


def test_an_entrypoint_of_several_words(tmp_path):
    said = command(tmp_path, entrypoint=("tini", "--"), working_directory="/srv/run")
    assert said[said.index("--entrypoint") + 1] == "tini"
    assert said[said.index("--workdir") + 1] == "/srv/run"
    assert said[-4:] == ("--", "python", "-m", "app")


def images(tmp_path, loaded, load=None):
    def keep(archive):
        loaded.append(archive.read_bytes())

    return EngineImages(Registry(), HOST, tmp_path, load or keep, lambda digest: f"x:{digest[7:]}")


def test_the_engine_gets_what_was_pushed_once_under_its_digest(tmp_path):
    loaded: list[bytes] = []
    store = images(tmp_path, loaded)
    assert store.pull(f"{HOST}/shop:1").digest == digest(MANIFEST)
    assert store.pull(f"{HOST}/shop@{digest(MANIFEST)}").environment == {"A": "1"}
    assert loaded == [docker_archive(f"x:{digest(MANIFEST)[7:]}", CONFIG, [LAYER])]
    with tarfile.open(fileobj=io.BytesIO(loaded[0])) as archive:
        (listed,) = json.load(archive.extractfile("manifest.json"))
        assert archive.extractfile(listed["Config"]).read() == CONFIG
        assert [archive.extractfile(name).read() for name in listed["Layers"]] == [LAYER]
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_refuses_an_image_is_asked_again(tmp_path):
    def refuse(archive):
        raise OSError("no space")

    with pytest.raises(CannotPullContainer, match="no space"):
        images(tmp_path, [], refuse).pull(f"{HOST}/shop:1")
    with pytest.raises(CannotPullContainer, match="not found"):
        images(tmp_path, []).pull(f"{HOST}/absent:1")


class FakeHost:
    def __init__(self):
        self.killed = []

    def kill(self, task_id):
        self.killed.append(task_id)


@pytest.fixture
def spoken(monkeypatch):
    """Commands given to the engine; answers by their beginning."""
    calls, answers = [], {}

    def run(command, **options):
        calls.append(" ".join(command))
        answer = next((a for s, a in answers.items() if calls[-1].startswith(s)), "")
        if isinstance(answer, Exception):
            raise answer
        return subprocess.CompletedProcess(command, 0, stdout=answer, stderr="")

    monkeypatch.setattr(containers.subprocess, "run", run)
    run.calls, run.answers = calls, answers
    return run


def launcher(tmp_path, host=None):
    return containers.ContainerLauncher("podman", host or FakeHost(), Registry(), HOST, tmp_path)


def test_what_an_earlier_region_left_is_removed_and_nothing_else(tmp_path, spoken):
    names = containers.Names(tmp_path)
    spoken.answers["podman ps"] = "aa\nbb\n"
    spoken.answers["podman volume ls"] = names.volume("data")
    spoken.answers["podman images"] = f"{names.image('1')}\nlocalhost/shop-service:src-1\n"
    launcher(tmp_path)
    removals = [call for call in spoken.calls if " rm" in call]
    assert removals == [
        "podman rm --force aa bb",
        f"podman volume rm {names.volume('data')}",
        f"podman rmi {names.image('1')}",
    ]
    assert f"--filter label=local-region={names.owner}" in " ".join(spoken.calls)


def test_an_engine_that_does_not_answer(tmp_path, spoken):
    spoken.answers["podman version"] = subprocess.CalledProcessError(1, "podman", stderr="x\nno!")
    with pytest.raises(DataPlaneFailed, match="podman does not answer: no!"):
        launcher(tmp_path)


def test_only_linux_shares_its_network(tmp_path, spoken, monkeypatch):
    monkeypatch.setattr(containers.sys, "platform", "darwin")
    with pytest.raises(DataPlaneFailed, match="only Linux"):
        launcher(tmp_path)


def test_secrets_reach_the_engine_by_its_environment(tmp_path, spoken):
    process = launcher(tmp_path).process(start(tmp_path))
    assert process.env["JWT_KEY"] == "hidden"
    assert "hidden" not in " ".join(process.argv)
    assert process.cgroup_procs == ()


def test_a_kill_meets_the_container_and_not_only_its_client(tmp_path, spoken):
    host = FakeHost()
    launcher(tmp_path, host).kill("t1")
    deadline = time.monotonic() + 20
    while not host.killed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert host.killed == ["t1"]
    assert f"podman kill {containers.Names(tmp_path).container('t1')}" in spoken.calls


def test_the_account_is_that_of_the_containers_own_process(tmp_path, spoken, monkeypatch):
    shares = launcher(tmp_path).shares
    assert shares.method == "podman-quota"
    assert shares.usage("t1", 1) is None
    spoken.answers["podman inspect"] = "4711\n"
    asked = []

    def read(pid):
        asked.append(pid)
        return {"usage_usec": 2_500_000, "nr_periods": 30, "nr_throttled": 4}

    monkeypatch.setattr(containers, "read_cgroup", read)
    usage = shares.usage("t1", 1)
    assert (usage.usage_s, usage.nr_periods, usage.nr_throttled, asked) == (2.5, 30, 4, [4711])
    shares.release("t1")
    assert spoken.calls[-1].startswith("podman rm --force local-region-")


@pytest.mark.parametrize(
    ("mounts", "groups", "files"),
    [
        (
            "30 1 0:1 / {root}/cpu rw - cgroup cgroup rw,cpu\n"
            "31 1 0:1 / {root}/cpuacct rw - cgroup cgroup rw,cpuacct\n",
            "4:cpu:/pod/c1\n3:cpuacct:/pod/c1\n",
            {
                "cpu/pod/c1/cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 5000\n",
                "cpuacct/pod/c1/cpuacct.usage": "7000000\n",
            },
        ),
        (
            "30 1 0:1 / {root} rw - cgroup2 cgroup rw\n",
            "0::/pod/c1\n",
            {"pod/c1/cpu.stat": "usage_usec 7000\nnr_periods 9\nnr_throttled 2\n"},
        ),
    ],
)
def test_the_account_under_either_version_of_cgroups(tmp_path, monkeypatch, mounts, groups, files):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "mountinfo").write_text(mounts.format(root=tmp_path))
    (tmp_path / "cgroup").write_text(groups)
    there = {
        "/proc/self/mountinfo": tmp_path / "mountinfo", "/proc/4711/cgroup": tmp_path / "cgroup",
    }  # fmt: skip
    monkeypatch.setattr(containers, "Path", lambda path: there[path])
    stat = containers.read_cgroup(4711)
    assert (stat["usage_usec"], stat["nr_periods"], stat["nr_throttled"]) == (7000, 9, 2)
