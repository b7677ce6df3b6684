"""The bodies that routes take, strictly: JSON, UTF-8, known fields only, numbers as decimals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from consumer.api.errors import ApiError
from consumer.contract.decoding import describe, parse_object
from consumer.contract.message import Instant, Number
from consumer.errors import MalformedMessage
from providers.symbols import normalise

if TYPE_CHECKING:
    from starlette.requests import Request

M = TypeVar("M", bound=BaseModel)
_REPLAY_MOST = 100


def _whole(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic turns only that into a fault
    return value


Id = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=2**63 - 1)]
Word = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Body(BaseModel):
    """A body; names on the wire are camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, hide_input_in_errors=True
    )


class Reason(Body):
    """Who does something and why, for the record."""

    why: Text
    by: Text = "api"


class ReplayBody(Reason):
    """Which dead letters to publish again."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=_REPLAY_MOST)]
    dry_run: bool = Field(default=False, strict=True)
    allow_stale: bool = Field(default=False, strict=True)


class DropBody(Reason):
    """Which dead letters to put aside."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=_REPLAY_MOST)]


class ConfigBody(Reason):
    """The new value of a key; null removes it, so that its default holds."""

    value: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x1f\x7f]*$")] | None


class SwitchBody(Reason):
    """How a kill switch is to stand; no scope means everything."""

    value: Annotated[str, Field(pattern=r"^(off|reduce_only|on)$")]
    scope: Word | None = None


class SignalBody(Body):
    """A signal; nothing is traded from it."""

    signaled_at: Instant | None = None
    symbol: Annotated[str, AfterValidator(normalise)]
    signal_type: Word
    source: Word | None = None
    exchange: Word | None = None
    price: Number | None = None


async def raw(request: Request) -> bytes:
    """Return a body that says it is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "send application/json")
    return await request.body()


async def read(request: Request, model: type[M], max_bytes: int) -> M:
    """Read a body; raises what `consumer.api.errors` answers."""
    value = parse_object(await raw(request), max_bytes)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise MalformedMessage("VALIDATION_ERROR", describe(error)) from None


def body_of(model: type[BaseModel], example: dict[str, object]) -> dict[str, Any]:
    """Describe a body for the OpenAPI document."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": example}},
        }
    }
