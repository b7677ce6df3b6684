"""Every command that deploy/ and the documents name exists, with these arguments and options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
import yaml

from consumer.cli.app import COMMANDS, app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
PROGRAM = "trade-worker"
# What stands for a value in prose, and values that pass for it.
STANDS_FOR = {"REQUEST_ID": "r-1", "KEY": "trade:symbols", "VALUE": "BTCUSDT", "NAME": "worker"}


def parse(words: list[str]) -> None:
    """Let typer parse a command line; runs nothing."""
    command: Any = typer.main.get_command(app)
    context = command.make_context(PROGRAM, words)
    while hasattr(command, "resolve_command") and (rest := context._protected_args + context.args):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def shipped() -> Iterator[tuple[str, list[str]]]:
    """The command lines of containers and of the systemd unit."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name, service in services.items():
        if service["image"].startswith(PROGRAM):
            yield f"compose {name}", service["command"]
    for path in sorted((DEPLOY / "kubernetes").rglob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            pod = (one or {}).get("spec", {}).get("template")
            for container in pod["spec"]["containers"] if isinstance(pod, dict) else ():
                if "args" in container:
                    yield path.name, container["args"]
    unit = (DEPLOY / "systemd" / "trade-worker.service").read_text(encoding="utf-8")
    for line in re.findall(r"^ExecStart=\S+/trade-worker (.+)$", unit, flags=re.MULTILINE):
        yield "systemd", shlex.split(line)
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for text in re.findall(r"^CMD (\[.+\])$", dockerfile, flags=re.MULTILINE):
        yield "Dockerfile", yaml.safe_load(text)


def written() -> Iterator[tuple[str, list[str]]]:
    """The command lines in the runbook and the README, in code spans and in blocks."""
    for path in (DEPLOY / "RUNBOOK.md", ROOT / "README.md"):
        text = path.read_text(encoding="utf-8")
        blocks = re.findall(r"^```sh\n(.+?)^```", text, flags=re.MULTILINE | re.DOTALL)
        prose = re.sub(r"^```.+?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        spans = re.findall(r"`([^`]+)`", prose)
        for line in [*spans, *(line for block in blocks for line in block.splitlines())]:
            found = re.search(rf"(?:^|(?<!scaledobject)[ ;&]){PROGRAM} ([a-z].*)$", line)
            if found is not None:
                yield path.name, words_of(found[1])
            elif line in spans and path.name == "RUNBOOK.md" and line.split(" ")[0] in COMMANDS:
                yield path.name, words_of(line)  # without the program's name, as in its prose


def words_of(line: str) -> list[str]:
    words = shlex.split(line.replace("…", "because"), comments=True)
    return words[: min((words.index(end) for end in ("|", "&", ">") if end in words), default=99)]


def chosen(words: list[str]) -> Iterator[list[str]]:
    """One command line for each choice that `a|b` leaves."""
    for number in range(max(word.count("|") + 1 for word in words)):
        choices = [word.split("|") for word in words]
        yield [STANDS_FOR.get(word := one[min(number, len(one) - 1)], word) for one in choices]


@pytest.mark.parametrize(("where", "words"), [*shipped()], ids=lambda one: str(one)[:60])
def test_what_is_run_can_be_run(where: str, words: list[str]) -> None:
    del where
    parse(words)


@pytest.mark.parametrize(("where", "words"), [*written()], ids=lambda one: str(one)[:60])
def test_what_is_written_exists(where: str, words: list[str]) -> None:
    del where
    for line in chosen(words):
        try:
            parse(line)
        except Exception as error:  # what prose leaves out is not wrong
            if type(error).__name__ != "MissingParameter":
                raise


def test_an_option_that_does_not_exist_would_be_seen() -> None:
    with pytest.raises(BaseException, match="no-such"):
        parse(["orders", "list", "--no-such"])


def test_there_is_something_to_look_at() -> None:
    assert len(list(shipped())) >= 7
    assert len(list(written())) >= 40
