"""The sandbox's page tells of every fault and every switch, and of none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import providers.sandbox
from providers.sandbox.fault_kinds import MEANINGS, FaultKind
from providers.sandbox.sandbox import Options, Sandbox

PAGE = (Path(providers.sandbox.__file__).parent / "README.md").read_text()


def test_every_fault_is_told() -> None:
    assert set(MEANINGS) == set(FaultKind)
    named = set(re.findall(r"`([a-z_]+)\b", PAGE))
    assert set(FaultKind) <= named


def test_every_switch_is_told_and_what_is_told_can_be_turned() -> None:
    facades = Sandbox(Options()).facades
    for facade in facades.values():
        for name in facade.variants.view():
            assert name in PAGE, name
    told = re.findall(r"`switch (\w+) (\w+)(?: ([\w/]+))?`", PAGE)
    assert told
    for venue, name, values in told:
        for value in filter(None, values.split("/")):
            facades[venue].variants.set(name, value)
        assert name in facades[venue].variants.view()
