"""The seam itself, over transports that raise and answer as told."""

from __future__ import annotations

import httpx
import pytest

from providers.http import Answer, Fault, Http, Timeouts, TransportFault

URL = "https://exchange.test/order?signature=abc"


def seam(handler: object) -> Http:
    return Http(Timeouts(1.0, 1.0), httpx.MockTransport(handler))  # type: ignore[arg-type]  # any


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (httpx.ConnectError("x"), Fault.NOT_SENT),
        (httpx.ConnectTimeout("x"), Fault.NOT_SENT),
        (httpx.PoolTimeout("x"), Fault.NOT_SENT),
        (httpx.UnsupportedProtocol("x"), Fault.NOT_SENT),
        (httpx.ReadTimeout("x"), Fault.UNKNOWN),
        (httpx.WriteTimeout("x"), Fault.UNKNOWN),
        (httpx.ReadError("x"), Fault.UNKNOWN),
        (httpx.WriteError("x"), Fault.UNKNOWN),
        (httpx.CloseError("x"), Fault.UNKNOWN),
        (httpx.ProxyError("x"), Fault.UNKNOWN),
        (httpx.RemoteProtocolError("x"), Fault.UNKNOWN),
        (httpx.LocalProtocolError("x"), Fault.UNKNOWN),
        (httpx.TimeoutException("x"), Fault.UNKNOWN),
        (httpx.NetworkError("x"), Fault.UNKNOWN),
        (OSError("x"), Fault.UNKNOWN),
        (RuntimeError("x"), Fault.UNKNOWN),
        (TimeoutError(), Fault.UNKNOWN),
    ],
)
async def test_only_connecting_and_pooling_errors_mean_not_sent(
    error: Exception, fault: Fault
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(TransportFault) as caught:
        await seam(fail).send("POST", URL, {})
    assert caught.value.fault is fault
    assert caught.value.name == type(error).__name__


async def test_a_reason_that_holds_a_url_is_left_out() -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("Connection timeout to host https://x/order?signature=abc")

    with pytest.raises(TransportFault) as caught:
        await seam(fail).send("POST", URL, {})
    assert str(caught.value) == "ConnectTimeout"
    assert caught.value.__context__ is None


async def test_answers_do_not_print_what_they_hold() -> None:
    answer = await seam(
        lambda _: httpx.Response(200, headers={"x-key": "secret"}, content=b"secret")
    ).send("GET", URL, {})
    assert isinstance(answer, Answer)
    assert "secret" not in repr(answer)
