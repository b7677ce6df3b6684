"""Tables of the command line: aligned, one line a row, quick for ten thousand of them."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any, cast

from rich.cells import cell_len

from consumer.cli.output import counted, print_json, print_table, writing

if TYPE_CHECKING:
    import pytest


def test_columns_are_aligned_whatever_the_cells_hold(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        (1, "plain", "end"), (22, "注文 🚀", "end"), (None, "two\nlines\x1b[31m", "end"),
        ({"a": [1]}, "[red]no markup[/]", "end"), ("", None, ""),
    ]  # fmt: skip
    print_table(("ID", "WHAT", "LAST"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert len({cell_len(line[: line.index("end")]) for line in lines if "end" in line}) == 1
    assert lines[3].split() == ["two", "lines", "[31m", "end"]
    assert lines[4].startswith('{"a":[1]}  [red]no markup[/]')
    assert lines[5] == ""


def test_ten_thousand_rows_take_no_time_to_speak_of(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.process_time()
    print_table(("ID", "NAME", "WHY"), [(n, f"name {n}", "because") for n in range(10_000)])
    assert time.process_time() - began < 2  # folded to a window they took 10
    assert capsys.readouterr().out.count("\n") == 10_001


class Sparing(io.RawIOBase):
    """A standard output without a buffer, onto a pipe that takes little at once."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever bytes are in
        self.taken += bytes(data[:1000])
        return min(len(data), 1000)


def test_nothing_is_lost_on_a_pipe_that_takes_little_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = Sparing()
    unbuffered = io.TextIOWrapper(cast("Any", raw), write_through=True)
    monkeypatch.setattr("sys.stdout", unbuffered)
    print_json(list(range(5000)))
    assert json.loads(raw.taken) == list(range(5000))
    raw.taken = b""
    with writing("-") as put:
        put(b"x" * 5000)
    assert raw.taken == b"x" * 5000


def test_a_noun_is_counted() -> None:
    assert [counted(n, "order") for n in (0, 1, 2)] == ["0 orders", "1 order", "2 orders"]
