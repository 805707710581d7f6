"""The command line: exit codes, data on stdout, talk on stderr, JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from botocore.exceptions import EndpointConnectionError

import runbook.cli.deploy
import runbook.cli.looks
import runbook.cli.runs
import runbook.cli.verbs
from runbook import region
from runbook.capacity.hold import Found
from runbook.cli import cli, main
from runbook.errors import ApprovalMissing, Stopped
from runbook.runs import record
from runbook.runs.result import Result
from runbook.stacks.diff import LayerDiff
from runbook.stacks.differences import Difference
from runbook.stacks.review import LayerReview, Review

PROJECT = Path(__file__).parent.parent


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    group = root / "sceptre" / "config" / "local" / "config.yaml"
    group.parent.mkdir(parents=True)
    group.write_text("sceptre_user_data: {account_id: '000000000000', metric_period_s: 10}\n")
    (group.parent.parent / "config.yaml").write_text("project_code: shop\nregion: eu-west-1\n")
    shutil.copytree(Path(__file__).parent / "notebooks", root / "notebooks")
    monkeypatch.setenv("RUNBOOK_PROJECT", str(root))
    monkeypatch.setenv("RUNBOOK_LOCAL_REGION_DIR", str(tmp_path / "region"))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    return root


@pytest.fixture
def runbook_command(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["runbook", *arguments])
        monkeypatch.setattr("signal.signal", lambda number, handler: None)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Answer(ended.value.code, captured.out, captured.err)

    return run


def test_help_names_every_command(runbook_command: Callable[..., Answer]) -> None:
    answer = runbook_command("--help")
    assert answer.code == 0
    for name in ("doctor", "local", "demo", "list", "run", "report", "thresholds", "failures"):
        assert name in answer.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command"),
        (["run"], "Missing argument"),
        (["run", "passes", "--env", "prodd"], "Environment 'prodd' not found"),
        (["run", "pases"], "did you mean passes"),
        (["run", "passes", "-p", "tmies=2"], "did you mean times"),
        (["run", "passes", "-p", "times=many"], "Parameter times of passes is not 'many'"),
        (["run", "passes", "-p", "times"], "it has no ="),
        (["local", "status"], "The local region is not running"),
        (["local", "env"], "runbook local up"),
        (["failures", "local"], "The local region is not running"),
        (["local", "up", "--port", "99999"], "99999 is not in the range 0<=x<=65535"),
        (["demo", "--port", "99999"], "99999 is not in the range 0<=x<=65535"),
        (["report", "open"], "No page of any run found"),
        (["stacks", "outputs", "local", "nolayer"], "is not one of"),
    ],
)
def test_errors_are_a_sentence_on_stderr_and_exit_code_2(
    runbook_command: Callable[..., Answer], project: Path, arguments: list[str], words: str
) -> None:
    answer = runbook_command(*arguments)
    assert answer.code == 2
    assert words in answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert not (project / "runs").exists()


def test_the_doctor_finds_what_is_missing(runbook_command: Callable[..., Answer]) -> None:
    healthy = runbook_command("doctor", "--json")
    (machine,) = json.loads(healthy.out)
    assert machine["name"] == "this machine"
    ill = runbook_command("doctor", "--env", "local")
    assert ill.code == 1
    assert "[NG] local region" in ill.out
    assert "[SKIP] stacks" in ill.out


def test_list_shows_notebooks_and_parameters(
    runbook_command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_PROJECT", str(PROJECT))
    every = json.loads(runbook_command("list", "--json").out)
    assert [item["name"] for item in every][:2] == ["00_preflight", "10_deploy"]
    one = runbook_command("list", "20")
    assert one.out.startswith("Load test")
    assert "load_budget_s" in one.out


def test_run_hands_its_options_on_and_ends_with_the_verdict(
    runbook_command: Callable[..., Answer],
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    run_dir = tmp_path / "r"

    def fake(request, listener, project):
        asked.append(request)
        summary = {"next": "mend it", "verdict": "fail"}
        return SimpleNamespace(verdict="fail", run_dir=run_dir, summary=summary, exit_code=1)

    monkeypatch.setattr(runbook.cli.runs, "run_notebooks", fake)
    file = tmp_path / "p.yaml"
    file.write_text('times: 1\ntag: "007"\npasses: {loud: true}\n')
    answer = runbook_command(
        *("run", "passes", "-p", "times=2", "-f", str(file), "--dry-run"),
        *("--approve", "abc", "--runs", str(tmp_path / "elsewhere")),
    )
    (request,) = asked
    assert request.parameters == {"times": "2", "tag": "007"}, "the command line wins"
    assert request.own == {"passes": {"loud": True}}
    assert (request.dry_run, request.approve) == (True, "abc")
    assert request.root == tmp_path / "elsewhere"
    assert answer.code == 1
    assert answer.out.strip() == str(run_dir / "index.html")
    assert "Verdict: fail.\nNext: mend it" in answer.err
    assert json.loads(runbook_command("run", "passes", "--json").out)["verdict"] == "fail"


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_a_command_has_the_name_it_is_found_by(name: str) -> None:
    assert cli.commands[name].name == name


def test_the_command_line_lists_its_commands_and_knows_what_was_meant(
    runbook_command: Callable[..., Answer],
) -> None:
    listed = runbook_command("-h").out
    assert all(f"  {name} " in listed for name in cli.commands)
    answer = runbook_command("chnage")
    assert answer.code == 2
    assert "change" in answer.err


@pytest.mark.parametrize("command", ["local", "lab"])
def test_what_does_not_deploy_does_not_wait_for_sceptre_and_papermill(command: str) -> None:
    code = (
        f"from runbook.cli import cli; import sys; cli.commands[{command!r}]; print(*sys.modules)"
    )
    modules = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert "runbook.cli.frame" in modules
    assert not {"sceptre", "papermill", "pandas"} & set(modules)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ApprovalMissing("dev needs an approval", "x", "y"), 1, "Finding: dev needs an approval"),
        (EndpointConnectionError(endpoint_url="http://x"), 2, "AWS refused or did not answer"),
        (KeyboardInterrupt(), 130, "Stopped."),
        (Stopped(), 143, "Stopped."),
    ],
)
def test_every_end_has_its_exit_code(
    runbook_command: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    words: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(runbook.cli.looks.stacks_package, "last_failures", fail)
    answer = runbook_command("failures", "local")
    assert answer.code == code
    assert words in answer.err


def test_a_plan_with_changes_is_a_finding(
    runbook_command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = LayerReview("network", "shop-local-network", "update", (), LayerDiff("", (), ()))
    reviews = iter([Review("local", (layer,), "e" * 64), Review("local", (), "e" * 64)])
    monkeypatch.setattr(runbook.cli.deploy.stacks_package, "plan_changes", lambda *_: next(reviews))
    changed = runbook_command("stacks", "plan", "local")
    assert changed.code == 1
    assert "Digest eeeeeeeeeeeeeeee" in changed.out
    assert runbook_command("stacks", "plan", "local", "--json").code == 0


def test_a_layer_that_is_not_deployed_is_a_line_of_the_differences(
    runbook_command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        "network": Difference("+Resources:\n+ ...", (), (), creates=(15, 30)),
        "registry": Difference("+Resources:\n+ ...", (), (), creates=(1, 1)),
    }
    monkeypatch.setattr(runbook.cli.looks, "differences", lambda *_: found)
    nothing = runbook_command("diff", "local")
    assert nothing.code == 1
    assert nothing.out.splitlines() == [
        "network: not deployed, 15 to 30 resources would be created",
        "registry: not deployed, 1 resource would be created",
    ]
    assert "Next: make create ENV=local\n" in nothing.err
    found["network"] = Difference("-a\n+b", (), ())
    some = runbook_command("diff", "local")
    assert some.out.splitlines()[:3] == ["--- network", "-a", "+b"]
    assert "Next: make change ENV=local NAME=..." in some.err


def test_a_dry_run_of_asking_asks_nobody(
    runbook_command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runbook.cli.looks, "endpoint", pytest.fail)
    dry = runbook_command("test", "local", "--dry-run", "--path", "/x")
    assert dry.code == 0
    assert "Dry run: it would GET /x from the endpoint of local." in dry.err


def test_local_env_is_for_the_shell(
    runbook_command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region, "environment_variables", lambda: {"AWS_ENDPOINT_URL": "http://x y"})
    assert runbook_command("local", "env").out == "export AWS_ENDPOINT_URL='http://x y'\n"


def test_local_down_without_a_region_is_fine(runbook_command: Callable[..., Answer]) -> None:
    answer = runbook_command("local", "down")
    assert (answer.code, answer.out) == (0, "")
    assert "No local region was running" in answer.err


def test_pages_are_made_from_records(
    runbook_command: Callable[..., Answer], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = record.new_run_dir(project / "runs", "local")
    (run_dir / "00_preflight").mkdir()
    Result("00_preflight", "local", run_dir.name, "", {}).write(
        run_dir / "00_preflight", "pass", ""
    )
    record.summarise(run_dir)
    index = runbook_command("report", "index")
    assert index.out.strip() == str(project / "runs" / "index.html")
    assert (run_dir / "00_preflight" / "report.html").is_file()
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    opened = runbook_command("report", "open")
    assert opened.out.strip() == str(run_dir / "index.html")
    assert "No browser could be started" in opened.err
    assert runbook_command("report", "open", "other").code == 2


@pytest.mark.parametrize(
    ("parts", "found", "more", "code", "words", "given_back"),
    [
        ((), None, (), 0, "local is not locked.", 0),
        (("All",), Found("r", 2, {}), (), 0, "Restored desired count 2 and scaling as a killed", 1),
        ((), Found("r", 2, {}), (), 0, "Restored desired count 2", 1),
        (("All",), Found("r", 2, {}), ("--dry-run",), 0, "it would restore desired count 2", 0),
        (("All",), None, (), 1, "no load test of this machine did it", 0),
        (("All",), None, ("--force",), 0, "Restored all scaling.", 1),
    ],
)
def test_unlocking_gives_back_what_a_killed_load_test_suspended(
    runbook_command: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
    parts: tuple[str, ...],
    found: Found | None,
    more: tuple[str, ...],
    code: int,
    words: str,
    given_back: int,
) -> None:
    restored: list[object] = []
    commands = runbook.cli.verbs
    monkeypatch.setattr(commands, "service_identity", lambda environment: None)
    monkeypatch.setattr(commands.hold, "suspended", lambda environment, identity: parts)
    monkeypatch.setattr(commands.hold, "left_by_killed_run", lambda environment, identity: found)
    monkeypatch.setattr(commands.hold, "give_back", lambda *given: restored.append(given))
    answer = runbook_command("unlock", "local", *more)
    assert answer.code == code
    assert words in answer.err
    assert len(restored) == given_back
