"""URLs put together are those that httpx makes of the whole text."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.urls import Urls, query_in

BASE = "https://exchange.test:8443/base"
WRITTEN = st.text("abcXYZ0189._~&=-%25,/ äö+'?", max_size=60)


@given(WRITTEN)
def test_a_url_is_what_httpx_makes_of_the_text_and_would_send(query: str) -> None:
    urls = Urls(f"{BASE}/")
    urls.url("/v1/order", "symbol=BTCUSDT")  # known by now
    made = urls.url("/v1/order", query)
    whole = httpx.URL(f"{BASE}/v1/order{'?' if query else ''}{query}")
    assert made == str(whole)
    assert query_in(made) == whole.query == httpx.Request("GET", made).url.query


def test_a_query_does_not_stay_with_the_path() -> None:
    urls = Urls(BASE)
    assert query_in(urls.url("/v1/order", "signature=abc")) == b"signature=abc"
    assert urls.url("/v1/order") == f"{BASE}/v1/order"


def test_a_query_that_httpx_refuses_is_refused() -> None:
    with pytest.raises(httpx.InvalidURL):
        Urls(BASE).url("/v1/order", "a=\n")
