"""Keys that every object store takes, and the settings that choose one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from storage.objects.store import InvalidKey, check_key, check_prefix
from storage.settings import ObjectStoreSettings, parse_store_url

segments = st.lists(st.text(min_size=1, max_size=12) | st.just(".."), min_size=1, max_size=5)


@given(segments.map("/".join) | st.text(max_size=40))
def test_a_key_that_is_taken_stays_inside_its_folder(key: str) -> None:
    try:
        check_key(key)
    except InvalidKey:
        return
    root = Path("/root/of/all")
    assert (root / key).resolve().is_relative_to(root)
    assert (root / key).resolve() != root
    assert "\x00" not in key


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", "has 0 bytes"),
        ("/etc/passwd", "empty segment"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        ("..", "lead elsewhere"),
        ("a/../b", "lead elsewhere"),
        ("a/./b", "lead elsewhere"),
        ("a\x00b", "control character"),
        ("a\nb", "control character"),
        ("a\ud800", "surrogate"),
        ("a/" + "é" * 128, "more than 255 bytes"),
        ("/".join(["abc"] * 300), "has 1199 bytes"),
        (".incomplete/x", "begins with .incomplete"),
    ],
)
def test_a_key_that_is_refused_says_why(key: str, says: str) -> None:
    with pytest.raises(InvalidKey, match=says):
        check_key(key)


@pytest.mark.parametrize("key", ["a", "a/b.json", "...", "a..b", "é" * 127, "x/.incomplete", "a b"])
def test_ordinary_keys_are_taken(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("prefix", ["../", "/", "a//", "a/../"])
def test_a_prefix_that_no_key_can_have_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidKey):
        check_prefix(prefix)


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b"])
def test_any_beginning_of_a_key_is_a_prefix(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///var/lib/trade%20worker", Path("/var/lib/trade worker")),
        ("file://localhost/srv/objects", Path("/srv/objects")),
        ("file://./objects", Path("objects")),
        ("file://./.run/objects", Path(".run/objects")),
        ("s3://", None),
    ],
)
def test_a_store_is_chosen_by_url(url: str, folder: Path | None) -> None:
    assert parse_store_url(url) == folder
    assert ObjectStoreSettings(object_store_url=url).object_folder == folder


@pytest.mark.parametrize(
    "url",
    [
        "",
        "trade-objects",
        "/var/lib/objects",
        "file:",
        "file://",
        "file:///",
        "file:objects",
        "file://otherhost/objects",
        "file:///objects?x=1",
        "s3://bucket",
        "http://127.0.0.1:9000",
    ],
)
def test_any_other_url_is_refused_with_what_would_be_right(url: str) -> None:
    with pytest.raises(ValidationError, match="file:///an/absolute/folder"):
        ObjectStoreSettings(object_store_url=url)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"s3_access_key_id": "AKIA"}, "go together"),
        ({"s3_secret_access_key": "hush"}, "go together"),
        ({"s3_endpoint_url": "http://user:hush@127.0.0.1:9000"}, "no credentials"),
        ({"reports_bucket": "Reports"}, "pattern"),
        ({"reports_bucket": "../x"}, "pattern"),
    ],
)
def test_settings_that_cannot_work_are_refused_without_telling_secrets(
    given: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        ObjectStoreSettings(**given)

    (fault,) = caught.value.errors(include_input=False)
    assert fault["loc"]
    assert "hush" not in str(fault)


def test_secrets_print_as_asterisks() -> None:
    settings = ObjectStoreSettings(s3_access_key_id="AKIA", s3_secret_access_key="hush")

    assert "hush" not in f"{settings!r} {settings}"
    assert "AKIA" not in f"{settings!r} {settings}"
