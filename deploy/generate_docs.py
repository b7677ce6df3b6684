"""Writes the generated parts of the README: settings, message fields, the state diagram.

Each stands between two comments, `<!-- generated: NAME -->` and `<!-- end: NAME -->`. `--check`
changes nothing and ends with 1 if a part is not what the code says.
"""

from __future__ import annotations

import argparse
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import PydanticUndefined

from consumer.message import TradeMessage
from consumer.settings import Settings
from storage.states import FOLLOWS, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo

README = Path(__file__).resolve().parent.parent / "README.md"


def settings_table() -> str:
    """Draw the table of settings from the settings model."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    fields = sorted(Settings.model_fields.items(), key=lambda item: item[0])
    for name, field in fields:
        rows.append(f"| `{name.upper()}` | {_default(field)} | {_cell(field.description or '')} |")
    return "\n".join(rows)


def message_table() -> str:
    """Draw the table of message fields from the message model."""
    rows = ["| field | needed | meaning |", "|---|---|---|"]
    for field in TradeMessage.model_fields.values():
        needed = "yes" if field.is_required() else ""
        rows.append(f"| `{field.alias}` | {needed} | {_cell(field.description or '')} |")
    return "\n".join(rows)


def state_diagram() -> str:
    """Draw the state machine from the table of states."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {OrderState.RECEIVED}"]
    for before in OrderState:
        lines += [f"    {before} --> {after}" for after in OrderState if after in FOLLOWS[before]]
    lines += [f"    {state} --> [*]" for state in OrderState if not FOLLOWS[state]]
    return "\n".join([*lines, "```"])


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "message": message_table,
    "states": state_diagram,
}


def renewed(text: str) -> str:
    """Give the README with every generated part as the code has it now.

    Raises:
        ValueError: a part has no place in the README.
    """
    for name, draw in PARTS.items():
        place = re.compile(
            rf"(<!-- generated: {name} -->\n).*?(<!-- end: {name} -->)", flags=re.DOTALL
        )
        if place.search(text) is None:
            raise ValueError(f"the README has no place for the generated part {name!r}")
        text = place.sub(partial(_fill, draw()), text)
    return text


def _fill(drawn: str, place: re.Match[str]) -> str:
    return f"{place[1]}{drawn}\n{place[2]}"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "needed"
    if value is None:
        return ""
    return f"`{getattr(value, 'value', value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(prog="make docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if out of date")
    options = parser.parse_args()
    old = README.read_text(encoding="utf-8")
    new = renewed(old)
    if options.check:
        if new != old:
            print("README.md is out of date: run `make docs`")
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    print("README.md is up to date" if new == old else "README.md written anew")
    return 0


if __name__ == "__main__":
    sys.exit(main())
