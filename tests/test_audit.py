"""The auditor catches each wrong model of the gallery, with the reason, and no right one."""

from typing import Any

import pytest
import torch
from wrong_models import BINARY, RIGHT, WARNED, WRONG

from gdl.audit import FAILED, NOT_APPLICABLE, PASSED, WARNING, Finding, check
from gdl.audit.subjects import random_images
from gdl.families.base import GenerativeModel

SHAPE = (1, 4, 4)


def checked(make: Any) -> list[Finding]:
    levels = 2 if make in BINARY else 4
    torch.manual_seed(0)
    model: GenerativeModel = make(SHAPE, levels)
    return check(model, random_images(SHAPE, levels, 64))


def named(findings: list[Finding], verdict: str) -> list[str]:
    return [f"{f.check}, {f.what}: {f.reason}" for f in findings if f.verdict == verdict]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda c: c.__name__)
def test_a_classic_mistake_is_caught_with_its_reason(wrong: Any) -> None:
    name, words = WRONG[wrong]
    found = named(checked(wrong), FAILED)
    assert any(f.startswith(name) and words in f for f in found), "\n".join(found)


@pytest.mark.parametrize("odd", WARNED, ids=lambda c: c.__name__)
def test_what_is_seldom_meant_is_a_warning(odd: Any) -> None:
    name, words = WARNED[odd]
    findings = checked(odd)
    assert not named(findings, FAILED)
    assert any(f.startswith(name) and words in f for f in named(findings, WARNING))


@pytest.mark.parametrize("right", RIGHT, ids=str)
def test_a_right_model_is_passed(right: Any) -> None:
    findings = checked(right)
    assert not named(findings, FAILED) + named(findings, WARNING)
    assert sum(f.verdict == PASSED for f in findings) > 10
    assert all(f.reason for f in findings if f.verdict == NOT_APPLICABLE)
