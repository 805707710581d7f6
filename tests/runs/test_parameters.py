"""Declared parameters: read strictly, checked before anything runs, texts stay texts."""

import json
import shlex
from pathlib import Path
from typing import get_args

import pytest

from runbook.errors import InputInvalid
from runbook.load.run import DRIVERS
from runbook.runs.parameters import Parameter, as_options, check, declared
from runbook.verify.plan import LoadShape

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

TYPES = [
    Parameter("tag", "str", "", ""),
    Parameter("times", "int", 1, ""),
    Parameter("ratio", "float", 0.5, ""),
    Parameter("loud", "bool", False, ""),
    Parameter("rates", "list", [], ""),
]


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("tag", "2024.10", "2024.10"),
        ("tag", "007", "007"),
        ("tag", "1e5", "1e5"),
        ("tag", "true", "true"),
        ("times", "7", 7),
        ("times", 7, 7),
        ("ratio", "1e-3", 0.001),
        ("ratio", 2, 2.0),
        ("loud", "yes", True),
        ("loud", "False", False),
        ("loud", True, True),
        ("rates", "[1, 2.5]", [1, 2.5]),
        ("rates", ["a"], ["a"]),
    ],
)
def test_the_declared_type_decides(name: str, given: object, expected: object) -> None:
    converted = check("nb", TYPES, {name: given})[name]
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("tag", 2024.1),
        ("tag", 7),
        ("times", "1.5"),
        ("times", "many"),
        ("times", 1.0),
        ("times", True),
        ("ratio", "half"),
        ("ratio", "nan"),
        ("ratio", "inf"),
        ("ratio", True),
        ("loud", "maybe"),
        ("loud", 1),
        ("rates", "1,2"),
        ("rates", '{"a": 1}'),
        ("rates", "7"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, given: object) -> None:
    with pytest.raises(InputInvalid, match=f"Parameter {name} of nb is not"):
        check("nb", TYPES, {name: given})


@pytest.mark.parametrize(
    ("given", "hint"),
    [("surg", "did you mean surge"), ("square", "one of rise, surge, wave; choose")],
)
def test_a_text_that_is_none_of_its_choices_is_refused(given: str, hint: str) -> None:
    shape = Parameter("shape", "str", "rise", "how it comes: rise | surge | wave")
    assert check("60_verify", [shape], {"shape": "wave"}) == {"shape": "wave"}
    with pytest.raises(InputInvalid, match=f"shape of 60_verify is not '{given}': .*{hint}"):
        check("60_verify", [shape], {"shape": given})


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("what sends: built-in | locust", ("built-in", "locust")),
        ("how: cpu-50 | cpu-60 (of the peak)", ("cpu-50", "cpu-60")),
        ("as by `cat x | sort`", ()),
        ("which a | b, and more", ()),
        ("where: dev | prod, empty for all", ()),
        ("how: a|b", ()),
    ],
)
def test_choices_are_a_list_at_the_end_and_nothing_else(
    text: str, choices: tuple[str, ...]
) -> None:
    assert Parameter("x", "str", "", text).choices == choices
    assert Parameter("x", "list", [], text).choices == ()


def test_the_shapes_and_drivers_that_notebooks_offer_are_those_there_are() -> None:
    for notebook, name, there in (
        ("60_verify", "load_shape", get_args(LoadShape)),
        ("20_load_test", "driver", DRIVERS),
    ):
        found = {item.name: item for item in declared(NOTEBOOKS / f"{notebook}.ipynb")}
        assert found[name].choices == there


def test_a_default_that_is_none_of_the_choices_is_refused(project: Path) -> None:
    path = project / "notebooks" / "passes.ipynb"
    text = path.read_text()
    assert "# stays a text" in text
    path.write_text(text.replace("# stays a text", "# which: a | b"))
    with pytest.raises(InputInvalid, match="the default is none of a, b"):
        declared(path)


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InputInvalid, match="nothing was run; did you mean times"):
        check("nb", TYPES, {"tmies": "3"})
    with pytest.raises(InputInvalid, match="there are: tag, times"):
        check("nb", TYPES, {"zzz": "3"})


def test_a_file_that_lost_a_zero_is_told_how_to_keep_it() -> None:
    with pytest.raises(InputInvalid, match='"007" keeps its zeros'):
        check("nb", TYPES, {"tag": 2024.1})


def test_declarations_carry_type_default_and_help(project: Path) -> None:
    found = {item.name: item for item in declared(project / "notebooks" / "passes.ipynb")}
    assert found["tag"] == Parameter("tag", "str", "007", "stays a text")
    assert found["rates"].default == [1, 2]
    assert list(found)[:2] == ["env", "run_dir"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_parameters", "it has 0 cells tagged"),
        ("two_parameters", "it has 2 cells tagged"),
        ("untyped_parameter", "line 2: times = 3"),
    ],
)
def test_broken_declarations_are_refused(project: Path, name: str, message: str) -> None:
    with pytest.raises(InputInvalid, match=message):
        declared(project / "notebooks" / f"{name}.ipynb")


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"cells": 1})])
def test_a_file_that_is_no_notebook(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    with pytest.raises(InputInvalid, match="is no notebook"):
        declared(path)
    with pytest.raises(InputInvalid, match="is no notebook"):
        declared(tmp_path / "missing.ipynb")


def test_options_give_the_same_values_back_and_leave_out_what_is_default() -> None:
    known = [*TYPES, Parameter("approve", "str", "", ""), Parameter("env", "str", "local", "")]
    values = {"tag": "it's 007", "times": 1, "loud": True, "rates": [1, 2.5]}
    words = shlex.split(as_options(known, {**values, "approve": "ab12", "env": "dev"}))
    assert words[::2] == ["-p"] * 3
    given = dict(word.split("=", 1) for word in words[1::2])
    assert check("nb", TYPES, given) == {"tag": "it's 007", "loud": True, "rates": [1, 2.5]}
