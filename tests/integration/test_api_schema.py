"""The OpenAPI document and the running API agree, whatever a tool makes of the document."""

from __future__ import annotations

import asyncio
import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types
from openapi_spec_validator import validate
from pydantic.alias_generators import to_camel
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, not_a_server_error, positive_data_acceptance

from consumer.api import examples
from consumer.api.answers import result_of
from consumer.api.app import document
from consumer.documents import order_document, stats_document
from consumer.letters.replay import Summary, summary_document
from providers.orders import Position
from storage.config import ConfigRow
from storage.dead_letters import LetterGroup, LetterRow
from storage.orders import OrderEvent
from storage.signals import Signal
from tests.fakes.finished_orders import FILLED
from tests.support.api import EXECUTE_KEY, free_port, keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from schemathesis import Case

    from tests.conftest import NewWorld

# What they answer is an exchange's word as well: a rejection is a 500 by contract, and a trade that
# is well written may still break a rule of the instrument.
BY_CONTRACT = {"/process", "/webhook"}
BARE = {"/health", "/ready", "/started", "/metrics"}
EXAMPLES = 8
OPERATIONS = sorted(
    f"{method.upper()} {path}" for path, item in document()["paths"].items() for method in item
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(new_module_world: NewWorld) -> AsyncIterator[tuple[Any, str]]:
    """A real worker with the API, and its document as it serves it."""
    port = free_port()
    # A machine that has other things to do is no server error.
    world = await new_module_world(api_fill_wait=0.2, database_timeout=30.0, **keys(port))
    await world.start_worker()
    url = f"http://127.0.0.1:{port}"
    yield await asyncio.to_thread(schemathesis.openapi.from_url, f"{url}/openapi.json"), url


def test_the_document_is_valid_and_its_examples_too() -> None:
    made = document()
    validate(made)
    whole = Resource.from_contents(made, default_specification=DRAFT202012)
    registry = Registry().with_resource("urn:document", whole)
    for path, item in made["paths"].items():
        for method, operation in item.items():
            bodies = [operation.get("requestBody", {})]
            bodies += [one for status, one in operation["responses"].items() if status < "202"]
            for content in (one for body in bodies for one in body.get("content", {}).items()):
                kind, described = content
                if path in BARE or path == "/report":
                    continue
                assert kind == "application/json"
                schema = json.dumps(described["schema"]).replace('"#/', '"urn:document#/')
                checker = Draft202012Validator(json.loads(schema), registry=registry)
                assert not [*checker.iter_errors(described["example"])], (method, path)
    failure = made["components"]["schemas"]["Failure"]
    Draft202012Validator(failure).validate(failure["example"])


def test_examples_have_what_answers_have() -> None:
    rows = (
        (examples.ORDER, order_document(FILLED)),
        (examples.RESULT, result_of(FILLED)),
        (examples.STATS, stats_document([])),
        (examples.REPLAYED, summary_document(Summary(), dry_run=True)),
    )
    for example, document_of_a_row in rows:
        assert list(example) == list(document_of_a_row)
    for example, kind, but in (
        (examples.EVENT, OrderEvent, set()),
        (examples.LETTER, LetterRow, set()),
        (examples.GROUP, LetterGroup, set()),
        (examples.CONFIG, ConfigRow, set()),
        (examples.SIGNAL, Signal, {"raw"}),
        (examples.POSITION, Position, set()),
    ):
        names = {to_camel(one.name) for one in fields(kind)} - but
        assert set(example) - {"exchange"} == names - {"exchange"}, kind


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", OPERATIONS)
async def test_what_is_made_of_the_document_is_answered_as_it_says(
    api: tuple[Any, str], name: str
) -> None:
    schema, url = api
    method, path = name.split(" ")
    operation = schema[path][method]

    def run(mode: GenerationMode) -> None:
        checks: list[Any] = CHECKS.get_all()
        excluded = [positive_data_acceptance]
        if path in BY_CONTRACT:
            excluded.append(not_a_server_error)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(operation.as_strategy(generation_mode=mode))
        def one(case: Case[Any]) -> None:
            case.call_and_validate(
                base_url=url,
                headers={"X-Internal-Auth-Key": EXECUTE_KEY},
                checks=checks,
                excluded_checks=excluded,
            )

        one()

    await asyncio.to_thread(run, GenerationMode.POSITIVE)
    if path not in BARE:  # nothing can be wrong with a request that takes nothing
        await asyncio.to_thread(run, GenerationMode.NEGATIVE)
