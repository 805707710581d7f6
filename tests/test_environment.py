"""Environments are read from the Sceptre configuration, strictly."""

from pathlib import Path

import pytest

from runbook.environment import LAYERS, environment_names, find_project, load_environment
from runbook.errors import EnvironmentNotFound, InputInvalid


@pytest.fixture
def project(tmp_path: Path) -> Path:
    config = tmp_path / "sceptre" / "config"
    (config / "blue").mkdir(parents=True)
    (config / "config.yaml").write_text("project_code: shop\nregion: eu-west-1\n")
    (config / "blue" / "config.yaml").write_text(
        "sceptre_user_data:\n  account_id: '012345678901'\n  metric_period_s: 60\n"
        "stack_tags:\n  vpc: !stack_output blue/network.yaml::VpcId\n"
    )
    return tmp_path


def test_values_come_from_the_group_and_its_parent(project: Path) -> None:
    environment = load_environment("blue", project)
    assert environment.region == "eu-west-1"
    assert environment.account_id == "012345678901"
    assert environment.metric_period_s == 60
    assert environment.stack_name("network") == "shop-blue-network"
    assert not environment.is_local


def test_an_unknown_environment_names_the_known_ones(project: Path) -> None:
    with pytest.raises(EnvironmentNotFound, match="holds blue"):
        load_environment("green", project)


def test_a_missing_value_is_an_error_before_anything_else(project: Path) -> None:
    (project / "sceptre/config/blue/config.yaml").write_text("sceptre_user_data: {}\n")
    with pytest.raises(InputInvalid, match="account_id"):
        load_environment("blue", project)


def test_broken_yaml_is_an_input_error(project: Path) -> None:
    (project / "sceptre/config/blue/config.yaml").write_text("a: [1\n")
    with pytest.raises(InputInvalid, match="mend the file"):
        load_environment("blue", project)


def test_the_project_is_found_from_below(project: Path) -> None:
    below = project / "notebooks" / "deep"
    below.mkdir(parents=True)
    assert find_project(below) == project


def test_outside_a_project_the_error_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNBOOK_PROJECT", raising=False)
    with pytest.raises(EnvironmentNotFound, match="RUNBOOK_PROJECT"):
        find_project(tmp_path)


def test_the_named_project_wins(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_PROJECT", str(project))
    assert find_project(Path("/")) == project


def test_another_sceptre_folder_can_be_named(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (project / "sceptre").rename(copy)
    assert load_environment("blue", project, copy).sceptre_dir == copy


def test_this_repository_has_its_environments() -> None:
    root = Path(__file__).parent.parent
    assert {"local", "dev"} <= set(environment_names(root / "sceptre"))
    assert load_environment("local", root).metric_period_s == 10
    assert load_environment("dev", root).metric_period_s == 60
    for layer in LAYERS:
        assert (root / "sceptre/templates" / f"{layer}.yaml").is_file()
