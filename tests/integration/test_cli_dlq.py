"""`trade-worker dlq` as its users type it: answers, JSON, exit codes, and what it leaves alone."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from consumer.letters.collecting import letter_of
from consumer.queue import broker, declare
from storage.dead_letters import collect
from tests.support.commands import Commands
from tests.support.messages import encode, trade
from tests.support.waiting import eventually
from tests.support.worker import environment_of

if TYPE_CHECKING:
    from tests.support.world import World

NOW = datetime.now(UTC)


@pytest.fixture
async def commands(world: World) -> Commands:
    """Six dead letters: five trades of one batch that a rule refused, and junk from last week."""
    async with broker.connection(world.settings, "test") as connection:
        await declare.apply(connection, world.topology)
    world.amqp.used = True
    bodies = [encode(trade(requestId=f"r{number}", symbol="ETHUSDT", quantity="0.01"))
              for number in range(5)]  # fmt: skip
    for number, body in enumerate([*bodies, b"\xff junk"]):
        junk = number == 5
        died = NOW - (timedelta(days=7, seconds=9) if junk else timedelta(seconds=number))
        headers = {
            "trade-reason": "NOT_UTF8" if junk else "EXCHANGE_REJECTED",
            "trade-error": "byte 0 is 0xff" if junk else f"bybit 110007: order {number} too large",
            "trade-failed-at": died.isoformat(),
            "trade-batch-id": "last-week" if junk else "batch-1",
            "trade-batch-at": (died if junk else NOW - timedelta(minutes=1)).isoformat(),
            "trade-batch-order": number,
            "trade-attempts": 1,
            "tenant": "[blue]",
            "X-Auth-Token": "hidden-word",
        }
        letter = letter_of(
            body, headers, message_id=f"m{number}", content_type=None, routing_key="q",
            topology=world.topology, max_bytes=65536, now=NOW,
        )  # fmt: skip
        await collect(world.database, [letter])
    return Commands(world.settings)


async def test_they_are_found_grouped_shown_and_written_out(
    commands: Commands, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ran = await commands.good("dlq", "list", "--json")
    assert [one["requestId"] for one in ran.json] == ["r0", "r1", "r2", "r3", "r4", None]
    for options, count in (
        (["--reason", "exchange_rejected"], 5),
        (["--batch", "last-week"], 1),
        (["--batch", "last"], 1),  # as the list shows it: the beginning
        (["--batch", "bat"], 5),
        (["--symbol", "eth-usdt"], 5),
        (["--request-id", "r3"], 1),
        (["--exchange", "mexc"], 0),
        (["--older-than", "7d"], 1),
        (["--since", "1h"], 5),
        (["--since", (NOW - timedelta(days=30)).isoformat(), "--until", "1h"], 1),
        (["--state", "dropped"], 0),
        (["--limit", "2"], 2),
    ):
        ran = await commands.good("dlq", "list", *options)
        assert ran.out.splitlines()[-1].startswith(
            f"{count} dead letter" + ("" if count == 1 else "s")
        ), options

    ran = await commands.good("dlq", "groups")
    assert "bybit 110007: order # too large" in ran.out
    assert "6 dead letters in 2 groups" in ran.out
    ran = await commands.good("dlq", "stats", "--json")
    assert ran.json["byReason"] == {"EXCHANGE_REJECTED": 5, "NOT_UTF8": 1}
    assert ran.json["oldestWaitingSeconds"] > 7 * 86400

    junk = (await commands.good("dlq", "list", "--reason", "NOT_UTF8", "--json")).json[0]["id"]
    shown = (await commands.good("dlq", "show", str(junk), "--json")).json
    assert base64.b64decode(shown["bodyBase64"]) == b"\xff junk"
    assert shown["headers"]["tenant"] == "[blue]"
    assert shown["headers"]["X-Auth-Token"] == "***"
    text = (await commands.good("dlq", "show", str(junk))).out
    assert ("[blue]" in text, "hidden-word" in text) == (True, False)

    file = tmp_path_factory.mktemp("export") / "letters.ndjson"
    await commands.good("dlq", "export", str(file))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert json.loads(lines[0]["body"])["requestId"] == "r0"
    assert lines[0]["headers"]["X-Auth-Token"] == "hidden-word"  # a copy is whole
    assert len(lines) == 6
    ran = await commands.run("dlq", "show", "9999")
    assert (ran.exit_code, "no dead letter has the id 9999" in ran.err) == (4, True)


async def test_they_are_tried_replayed_and_dropped(commands: Commands, world: World) -> None:
    for wrong, words in (
        (["replay"], "say which ones"),
        (["replay", "--all"], "needs a reason"),
        (["replay", "--since", "soon"], "is no time"),
        (["list", "--since", "2026-01-31T12:00:00"], "needs a time zone"),
        (["drop", "--why", "x"], "say which ones"),
    ):
        ran = await commands.run("dlq", *wrong)
        assert (ran.exit_code, words in ran.err) == (2, True), ran

    tried = await commands.run("dlq", "replay", "--all", "--sandbox", "--rate", "1000", "--json")
    assert tried.exit_code == 1
    assert [(one["requestId"], one["result"]) for one in tried.json] == [
        (None, "NOT_UTF8"), *((f"r{number}", "FILLED") for number in range(5)),
    ]  # fmt: skip
    for nobody, code in ((["999"], 4), (["--batch", "no-such"], 4), (["--symbol", "XRPUSDT"], 0)):
        for way in ("--sandbox", "--dry-run"):
            ran = await commands.run("dlq", "replay", *nobody, way)
            assert (ran.exit_code, "that waits matches" in ran.err) == (code, True), ran
    several = await commands.run("dlq", "replay", "--batch", "", "--dry-run")
    assert (several.exit_code, "batch-1, last-week" in several.err) == (2, True), several
    assert world.truth == []
    assert await world.orders() == []
    assert await world.amqp.depth(world.topology.queue) == 0

    said = ("--why", "a rule was mended", "--by", "ann")
    ran = await commands.good("dlq", "replay", "--batch", "batch-1", "--dry-run")
    assert "5 would be published" in ran.out
    ran = await commands.good("dlq", "replay", "--batch", "batch-1", *said, "--json")
    assert (ran.json["published"], ran.json["left"], ran.json["stopped"]) == (5, 0, False)
    sent = await world.amqp.take(world.topology.queue, 5)
    assert [json.loads(one.body)["requestId"] for one in sent] == ["r0", "r1", "r2", "r3", "r4"]
    assert all(one.headers["tenant"] == "[blue]" for one in sent)

    ran = await commands.run("dlq", "replay", "--all", *said)
    assert (ran.exit_code, "still no trade message" in ran.out) == (1, True)
    assert "dropped 1" in (await commands.good("dlq", "drop", "--all", *said)).out
    ran = await commands.good("dlq", "stats", "--json")
    assert (ran.json["waiting"], ran.json["byState"]) == (0, {"dropped": 1, "replayed": 5})


async def test_ctrl_c_stops_a_replay_and_the_same_command_goes_on(
    commands: Commands, world: World
) -> None:
    for number in range(5, 45):
        body = encode(trade(requestId=f"r{number}", symbol="ETHUSDT", quantity="0.01"))
        headers = {"trade-batch-id": "batch-1", "trade-batch-order": number,
                   "trade-batch-at": (NOW - timedelta(minutes=1)).isoformat()}  # fmt: skip
        letter = letter_of(
            body, headers, message_id=f"m{number}", content_type=None, routing_key="q",
            topology=world.topology, max_bytes=65536, now=NOW,
        )  # fmt: skip
        await collect(world.database, [letter])
    words = ("dlq", "replay", "--batch", "batch-1", "--why", "a rule was mended", "--json")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "consumer", *words, "--rate", "15",
        env=environment_of(world.settings), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await eventually(
        lambda: world.amqp.depth(world.topology.queue), within=60, what="the first of them"
    )
    process.send_signal(signal.SIGINT)
    out, _ = await process.communicate()
    first = json.loads(out)
    assert (process.returncode, first["stopped"]) == (1, True)
    assert 0 < first["published"] < 45
    assert first["left"] == 45 - first["published"]

    rest = (await commands.good(*words, "--rate", "1000")).json
    assert (rest["published"], rest["total"], rest["stopped"]) == (first["left"],) * 2 + (False,)
    sent = await world.amqp.take(world.topology.queue, 45)
    assert [json.loads(one.body)["requestId"] for one in sent] == [f"r{n}" for n in range(45)]
    assert len({one.message_id for one in sent}) == 45
