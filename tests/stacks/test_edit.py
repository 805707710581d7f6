"""Writing one parameter: nothing else in the file moves."""

from pathlib import Path

import pytest

from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.stacks.edit import config_file, read_parameter, write_parameter

TEXT = """template:
  path: service.yaml
parameters:
  # what runs
  Image: ""   # written by deployments
  Other: !stack_output local/registry.yaml::Uri
  Plain: 7
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "service.yaml"
    found.write_text(TEXT)
    return found


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("Image", 'Image: ""   #', 'Image: "@sha256:ab"   #'), ("Plain", "7", '"@sha256:ab"')],
)
def test_only_the_value_changes(path: Path, name: str, old: str, new: str) -> None:
    assert write_parameter(path, name, "@sha256:ab") is True
    assert path.read_text() == TEXT.replace(old, new)
    assert read_parameter(path, name) == "@sha256:ab"
    assert write_parameter(path, name, "@sha256:ab") is False


def test_where_a_value_comes_from_stands_above_it_once(path: Path) -> None:
    assert write_parameter(path, "Image", "a", "run r1") is True
    told = '  # what runs\n  # from: run r1\n  Image: "a"   # written by deployments\n'
    assert path.read_text() == TEXT.replace(
        '  # what runs\n  Image: ""   # written by deployments\n', told
    )
    assert write_parameter(path, "Image", "a", "run r2") is False
    write_parameter(path, "Image", "b", "run r3")
    assert path.read_text().count("# from: ") == path.read_text().count("# from: run r3\n") == 1


def test_a_parameter_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(InputInvalid, match="has it 0 times"):
        write_parameter(path, "Imge", "x")


def test_the_file_of_a_layer(environment: Environment) -> None:
    assert read_parameter(config_file(environment, "network"), "Cidr") == "10.0.0.0/16"
