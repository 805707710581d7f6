"""Every undocumented choice is listed, explained and bounded."""

from dataclasses import fields, replace

import pytest

from runbook.scaling.errors import PolicyError
from runbook.scaling.semantics import CHOICES, DEFAULT, Semantics


def test_every_parameter_is_a_listed_choice_and_the_other_way_round():
    assert sorted(choice.name for choice in CHOICES) == sorted(f.name for f in fields(Semantics))


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_a_choice_has_a_source_a_reason_and_an_allowed_default(choice):
    assert choice.source
    assert choice.why
    assert choice.default == getattr(DEFAULT, choice.name)
    for value in choice.allowed:
        assert getattr(replace(DEFAULT, **{choice.name: value}), choice.name) == value


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_values_outside_are_refused_by_name(choice):
    wrong = choice.allowed[1] * 10 + 1 if choice.is_range else "sometimes"
    with pytest.raises(PolicyError, match=choice.name):
        replace(DEFAULT, **{choice.name: wrong})


@pytest.mark.parametrize("wrong", ["many", True, None])
def test_a_number_must_be_a_number(wrong):
    with pytest.raises(PolicyError, match="scale_in_margin"):
        replace(DEFAULT, scale_in_margin=wrong)
