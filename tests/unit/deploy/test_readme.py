"""The README says what the code does: generated parts, commands, targets, names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from consumer.cli.app import COMMANDS
from deploy.generate_docs import README, renewed
from deploy.local_instances import RUN_FOLDER

ROOT = README.parent


def test_the_generated_parts_are_what_the_code_says() -> None:
    text = README.read_text(encoding="utf-8")
    assert renewed(text) == text, "run `make docs`"


def test_a_missing_place_is_named() -> None:
    with pytest.raises(ValueError, match="settings"):
        renewed("# nothing here\n")


def test_every_make_target_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`?make ([a-z][a-z-]+)", README.read_text(encoding="utf-8")))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    there = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))
    assert named
    assert named <= there


def test_every_command_that_the_readme_names_exists() -> None:
    text = README.read_text(encoding="utf-8")
    named = set(
        re.findall(r"(?:^|`)trade-worker ([a-z][a-z-]+)(?= |`|$)", text, flags=re.MULTILINE)
    )
    assert named
    assert named <= set(COMMANDS)


def test_what_runs_leave_behind_is_not_tracked() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"/{Path(RUN_FOLDER).name}/" in ignored
