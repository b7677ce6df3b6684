"""The command line against real servers: answers, JSON, exit codes."""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from pydantic import AmqpDsn, PostgresDsn

from consumer.cli.app import app
from consumer.queue.topology import Topology
from consumer.settings import Settings
from storage.states import OrderState
from tests.support.commands import Commands
from tests.support.ledgers import bring, open_ledger
from tests.support.messages import encode, trade
from tests.support.worker import environment_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.amqp import Got
    from tests.support.world import World

NOWHERE = "127.0.0.1:9"


@pytest.fixture
def commands(settings: Settings) -> Commands:
    return Commands(settings)


@pytest.fixture
def offline() -> Commands:
    """Commands that reach no server: they end before they would."""
    return Commands(
        Settings(
            amqp_url=AmqpDsn(f"amqp://{NOWHERE}/"),
            database_url=PostgresDsn(f"postgresql://{NOWHERE}/trade"),
        )
    )


@pytest.fixture
async def applied(world: World, commands: Commands) -> World:
    """A world whose broker has the topology."""
    await commands.good("topology", "apply")
    world.amqp.used = True
    return world


def every_command() -> Iterator[list[str]]:
    """The words of every command, and of every group."""

    def walk(command: Any, words: list[str]) -> Iterator[list[str]]:  # noqa: ANN401 - typer's own click
        yield words
        for name in inner_names(command):
            yield from walk(inner_command(command, name), [*words, name])

    yield from walk(typer.main.get_command(app), [])


def inner_names(command: Any) -> list[str]:  # noqa: ANN401 - as above
    """The names of a group's commands; none of a command."""
    return sorted(command.list_commands(None)) if hasattr(command, "list_commands") else []


def inner_command(command: Any, name: str) -> Any:  # noqa: ANN401 - as above
    """One command of a group."""
    found = command.get_command(None, name)
    assert found is not None, name
    return found


# Help.


@pytest.mark.parametrize("words", [*every_command()], ids=" ".join)
async def test_every_command_explains_itself(offline: Commands, words: list[str]) -> None:
    ran = await offline.good(*words, "--help")

    assert "Usage:" in ran.out
    command: Any = typer.main.get_command(app)
    for word in words:
        command = inner_command(command, word)
    if not inner_names(command):
        assert "Example" in ran.out
        assert f"trade-worker {' '.join(words)}" in " ".join(ran.out.split())


async def test_the_top_says_what_exit_codes_mean(offline: Commands) -> None:
    ran = await offline.good("--help")

    assert "0 done, 1 no or failed, 2 wrong usage or settings" in " ".join(ran.out.split())


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["orders", "show"],
        ["orders", "list", "--limit", "many"],
        ["orders", "list", "--state", "HAPPY"],
        ["orders", "list", "--since", "yesterday"],
        ["orders", "list", "--symbol", "BTC USDT"],
        ["publish"],
        ["publish", "trades.json", "--action", "LONG"],
        ["publish", "no/such/file.json"],
        ["sandbox", "--limits", "none"],
        ["sandbox", "fault", "add", "hiccup"],
    ],
    ids=" ".join,
)
async def test_wrong_usage_ends_with_2(offline: Commands, words: list[str]) -> None:
    ran = await offline.run(*words)

    assert ran.exit_code == 2
    assert ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "words", [["status"], ["orders", "list"], ["topology", "show"], ["migrate"], ["run"]],
    ids=" ".join,
)  # fmt: skip
async def test_wrong_settings_end_with_2_and_are_named(offline: Commands, words: list[str]) -> None:
    ran = await offline.run(*words, RETRY_DELAYS="soon", DATABASE_POOL_SIZE="0")

    assert ran.exit_code == 2
    assert "RETRY_DELAYS: 'soon' is no delay; write it as 500ms, 30s, 5m or 1h" in ran.err
    assert "DATABASE_POOL_SIZE: " in ran.err


@pytest.mark.parametrize(
    ("words", "variable"),
    [
        (["orders", "list"], "DATABASE_URL"),
        (["migrate"], "DATABASE_URL"),
        (["topology", "check"], "AMQP_URL"),
        (["topology", "apply"], "AMQP_URL"),
        (["publish", "--action", "LONG", "--symbol", "BTCUSDT", "--quantity", "1"], "AMQP_URL"),
    ],
    ids=str,
)
async def test_a_service_that_cannot_be_reached_ends_with_3(
    offline: Commands, words: list[str], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumer.cli.common._CONNECT_WITHIN", 0.5)
    away = {
        "AMQP_URL": f"amqp://user:hidden-word@{NOWHERE}/",
        "DATABASE_URL": f"postgresql://user:hidden-word@{NOWHERE}/trade",
    }

    ran = await offline.run(*words, **{variable: away[variable]})

    assert ran.exit_code == 3
    assert f"is {variable} right?" in ran.err
    assert "hidden-word" not in ran.err + ran.out


async def test_a_server_that_is_no_rabbitmq_ends_with_3(commands: Commands, world: World) -> None:
    """The sandbox speaks HTTP, which is no AMQP."""
    other = world.sandbox.origin.removeprefix("http://")

    ran = await commands.run("topology", "check", AMQP_URL=f"amqp://{other}/", BROKER_TIMEOUT="3")

    assert ran.exit_code == 3
    assert "Traceback" not in ran.err


# Publishing.


async def published(world: World, count: int) -> list[Got]:
    """Take what was published, and see that there is no more."""
    got = await world.amqp.take(world.topology.queue, count)
    assert await world.amqp.depth(world.topology.queue) == 0
    return got


async def test_a_trade_described_by_options_is_published(
    applied: World, commands: Commands
) -> None:
    ran = await commands.good(
        "publish", "--action", "short", "--symbol", "eth-usdt", "--quantity", "0.10",
        "--price", "3500.50", "--order-type", "LIMIT", "--leverage", "5", "--json",
    )  # fmt: skip

    (got,) = await published(applied, 1)
    body = json.loads(got.body)
    assert ran.json == {"published": 1, "requestIds": [body["requestId"]]}
    assert (body["action"], body["quantity"], body["price"]) == ("short", "0.10", "3500.50")
    assert body["queuedAt"]
    assert got.message_id == body["requestId"]
    assert got.persistent


NUMBERS = '{"action":"LONG","symbol":"BTCUSDT","quantity":0.10000000000000000001,"price":1.10}'


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (NUMBERS, 1),
        (f"  {NUMBERS}\n\n", 1),
        (f"[{NUMBERS}, {NUMBERS}\n,{NUMBERS}]", 3),
        (f"{NUMBERS}\n{NUMBERS}\n", 2),
        (f"{NUMBERS}\r\n\r\n  {NUMBERS}\r\n{NUMBERS}", 3),
        (NUMBERS.replace(",", ",\n  "), 1),
    ],
    ids=["object", "blanks around", "array", "lines", "CRLF", "object on several lines"],
)
@pytest.mark.parametrize("by", ["file", "stdin"])
async def test_every_form_of_file_is_published_digit_for_digit(
    applied: World, commands: Commands, tmp_path: Path, text: str, count: int, by: str
) -> None:
    if by == "file":
        file = tmp_path / "trades.json"
        file.write_bytes(text.encode())
        await commands.good("publish", str(file))
    else:
        await commands.good("publish", "-", stdin=text.encode())

    got = await published(applied, count)
    bodies = [json.loads(one.body, parse_float=Decimal) for one in got]
    assert len({body["requestId"] for body in bodies}) == count
    for body in bodies:
        assert body["quantity"] == Decimal("0.10000000000000000001")
        assert str(body["price"]) == "1.10"


async def test_what_a_producer_gave_is_kept(applied: World, commands: Commands) -> None:
    given = trade(queuedAt="2026-01-31T12:00:00Z")
    envelope = {
        "requestId": "e-1",
        "payload": {k: v for k, v in trade().items() if k != "requestId"},
    }

    await commands.good("publish", "-", stdin=encode(given) + b"\n" + encode(envelope))

    first, second = await published(applied, 2)
    assert json.loads(first.body) == given
    assert json.loads(second.body) == envelope
    assert (first.message_id, second.message_id) == (given["requestId"], "e-1")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f'{NUMBERS}\n{{"action":"LONG"}}\n{NUMBERS}', "line 2: VALIDATION_ERROR: symbol"),
        (f"{NUMBERS}\n\n{NUMBERS[:-9]}\n", "line 3: NOT_JSON"),
        (f'[{NUMBERS}, {{"action":"LONG"}}]', "item 2: VALIDATION_ERROR"),
        (f"[{NUMBERS}, 7]", "item 2: NOT_AN_OBJECT"),
        (f"[{NUMBERS},", "not JSON"),
        ('{"action":"LONG"}', "VALIDATION_ERROR"),
        ("\xff\xfe", "NOT_"),
    ],
)  # fmt: skip
async def test_one_malformed_message_is_named_and_nothing_is_published(
    applied: World, commands: Commands, text: str, fault: str
) -> None:
    ran = await commands.run("publish", "-", stdin=text.encode("latin-1"))

    assert ran.exit_code == 1
    assert fault in ran.err
    assert "Traceback" not in ran.err
    assert await applied.amqp.depth(applied.topology.queue) == 0


async def test_unchecked_publishes_what_is_malformed_as_it_is(
    applied: World, commands: Commands
) -> None:
    lines = [b"no JSON", encode({"requestId": "r-1"})]

    await commands.good("publish", "--unchecked", "-", stdin=b"\n".join(lines))

    assert [one.body for one in await published(applied, 2)] == lines


@pytest.mark.parametrize("text", ["", "\n \n", "[]"])
async def test_nothing_to_publish_is_wrong_usage(
    applied: World, commands: Commands, text: str
) -> None:
    ran = await commands.run("publish", "-", stdin=text)

    assert ran.exit_code == 2
    assert "there is no message to publish" in ran.err
    assert await applied.amqp.depth(applied.topology.queue) == 0


async def test_publishing_before_the_topology_exists_says_what_to_do(commands: Commands) -> None:
    ran = await commands.run(
        "publish", "--action", "LONG", "--symbol", "BTCUSDT", "--quantity", "1"
    )

    assert ran.exit_code == 1
    assert "run `trade-worker topology apply`" in ran.err


async def test_many_are_published_and_a_pipe_works_in_a_real_process(applied: World) -> None:
    lines = [encode(trade()) for _ in range(500)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "consumer", "publish", "-", "--json"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment_of(applied.settings),
    )

    out, err = await asyncio.wait_for(process.communicate(b"\n".join(lines)), 30)

    assert process.returncode == 0, err
    assert json.loads(out)["published"] == 500
    bodies = {json.loads(one.body)["requestId"] for one in await published(applied, 500)}
    assert bodies == {json.loads(line)["requestId"] for line in lines}


# Topology.


async def test_topology_apply_check_and_show_agree(world: World, commands: Commands) -> None:
    before = await commands.run("topology", "check", "--json")
    assert before.exit_code == 1
    assert not before.json["ok"]
    assert f"queue {world.topology.queue!r} does not exist" in before.json["faults"]

    applied = await commands.good("topology", "apply", "--json")
    world.amqp.used = True
    shown = await commands.good("topology", "show", "--json")

    for queue in shown.json["queues"]:
        assert f"queue {queue['name']}" in applied.json["applied"]
    assert (await commands.good("topology", "check", "--json")).json == {"ok": True, "faults": []}
    assert "as it must be" in (await commands.good("topology", "check")).out
    for name in world.topology.rung_queues:
        assert name in (await commands.good("topology", "show")).out


async def test_topology_apply_unbinds_the_ladder_before(world: World, commands: Commands) -> None:
    await commands.good("topology", "apply")
    world.amqp.used = True
    other = Topology.of(world.changed(retry_delays="7s,8s"))

    ran = await commands.good("topology", "apply", "--json", RETRY_DELAYS="7s,8s")

    unbound = [line for line in ran.json["applied"] if line.startswith("unbound ")]
    assert len(unbound) == len(world.topology.stale_bindings(other)) + 2
    assert any(world.topology.rung_queues[0] in line for line in unbound)


async def test_topology_apply_refuses_what_differs(world: World, commands: Commands) -> None:
    async with world.amqp.channel() as channel:
        await channel.declare_queue(world.topology.queue, durable=True)

    ran = await commands.run("topology", "apply")

    assert ran.exit_code == 1
    assert f"queue '{world.topology.queue}' exists with another 'x-" in ran.err


# Database and orders.


async def test_migrate_says_what_it_did(commands: Commands, empty_database_url: str) -> None:
    lacks = await commands.run("migrate", "--check", DATABASE_URL=empty_database_url)
    assert lacks.exit_code == 1
    assert "0001_ledger.sql" in lacks.err

    ran = await commands.good("migrate", "--json", DATABASE_URL=empty_database_url)

    assert ran.json["applied"][0] == "0001_ledger.sql"
    again = await commands.good("migrate", DATABASE_URL=empty_database_url)
    assert "up to date" in again.out
    await commands.good("migrate", "--check", DATABASE_URL=empty_database_url)


@pytest.mark.parametrize("words", [["orders", "list"], ["orders", "show", "r"]], ids=" ".join)
async def test_without_a_schema_every_command_says_migrate(
    commands: Commands, empty_database_url: str, words: list[str]
) -> None:
    ran = await commands.run(*words, DATABASE_URL=empty_database_url)

    assert ran.exit_code == 1
    assert "run `trade-worker migrate` first" in ran.err


async def test_orders_are_listed_and_filtered(world: World, commands: Commands) -> None:
    ledger = open_ledger(world.database)
    for state in OrderState:
        await bring(ledger, f"r-{state}", state)

    listed = (await commands.good("orders", "list", "--json")).json

    assert {one["requestId"]: one["state"] for one in listed} == {
        f"r-{state}": state for state in OrderState
    }
    (one,) = (await commands.good("orders", "list", "--state", "FILLED", "--json")).json
    assert one["requestId"] == "r-FILLED"
    filters = ("--exchange", "BYBIT", "--symbol", "btc-usdt", "--since", "1h", "--limit", "5")
    assert len((await commands.good("orders", "list", *filters, "--json")).json) == 5
    none = ("--symbol", "ETHUSDT")
    assert (await commands.good("orders", "list", *none, "--json")).json == []
    table = (await commands.good("orders", "list")).out
    assert "r-QUARANTINED" in table
    assert f"{len(OrderState)} orders" in table


async def test_an_order_is_shown_with_its_life(world: World, commands: Commands) -> None:
    await bring(open_ledger(world.database), "r-1", OrderState.FILLED)

    shown = (await commands.good("orders", "show", "r-1", "--json")).json

    assert (shown["requestId"], shown["state"]) == ("r-1", "FILLED")
    assert [event["after"] for event in shown["events"]] == [
        "RECEIVED", "SENDING", "ACCEPTED", "FILLED",
    ]  # fmt: skip
    text = (await commands.good("orders", "show", "r-1")).out
    assert "clientOrderId" in text
    assert "ACCEPTED" in text
    missing = await commands.run("orders", "show", "r-2")
    assert missing.exit_code == 4
    assert "no order has the request id 'r-2'" in missing.err


# Status, doctor, sandbox.


async def test_status_counts_queues_and_orders(applied: World, commands: Commands) -> None:
    await applied.publish(trade(), trade())
    await bring(open_ledger(applied.database), "r-1", OrderState.FILLED)

    report = (await commands.good("status", "--json")).json

    assert (report["broker"], report["ledger"]) == ("ok", "ok")
    assert report["queues"][applied.topology.queue] == {"messages": 2, "consumers": 0}
    assert report["orders"] == {"FILLED": 1}
    assert report["exchanges"]["bybit"] == "configured"
    assert (report["deadLetters"], report["outbox"]) == (0, {"report": 1})
    shown = (await commands.good("status")).out
    assert applied.topology.queue in shown
    assert "reports to upload  1" in shown


async def test_status_says_what_is_away_and_still_tells_the_rest(
    applied: World, commands: Commands
) -> None:
    url = f"amqp://user:hidden-word@{NOWHERE}/"

    ran = await commands.run("status", "--json", AMQP_URL=url)

    assert ran.exit_code == 3
    assert NOWHERE in ran.json["broker"]
    assert ran.json["ledger"] == "ok"
    assert "hidden-word" not in ran.out + ran.err
    del applied


async def test_status_before_anything_was_applied_says_what_to_do(commands: Commands) -> None:
    ran = await commands.good("status")

    assert "does not exist: run `trade-worker topology apply`" in ran.out


async def test_a_sandbox_is_told_to_misbehave(world: World, commands: Commands) -> None:
    url = ("--url", world.sandbox.origin)
    added = await commands.good(
        "sandbox", "fault", "add", "drop_after", "--endpoint", "order/create", "--count", "1", *url
    )
    assert added.out.strip() == "fault 1: drop_after"

    (rule,) = (await commands.good("sandbox", "fault", "list", "--json", *url)).json["rules"]

    assert rule["kind"] == "drop_after"
    assert world.sandbox.sandbox.faults.rules
    await commands.good("sandbox", "fault", "clear", *url)
    assert not world.sandbox.sandbox.faults.rules
    refused = await commands.run("sandbox", "fault", "add", "latency", *url)
    assert refused.exit_code == 1
    assert "ms must be" in refused.err
    away = await commands.run("sandbox", "fault", "list", "--url", f"http://{NOWHERE}")
    assert away.exit_code == 3


async def test_doctor_examines_an_exchange(world: World, commands: Commands) -> None:
    findings = (await commands.good("doctor", "--exchange", "bybit", "--json")).json

    assert {one["exchange"] for one in findings} == {"bybit"}
    assert {one["verdict"] for one in findings} <= {"ok", "warning", "skipped"}
    unknown = await commands.run("doctor", "--exchange", "kraken")
    assert unknown.exit_code == 4
    wrong = await commands.run("doctor", "--exchange", "bybit", BYBIT_API_SECRET="other")
    assert wrong.exit_code == 1
    del world


async def test_the_version_is_told(offline: Commands) -> None:
    assert (await offline.good("--version")).out.startswith("trade-worker ")
