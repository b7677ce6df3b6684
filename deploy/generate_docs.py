"""Writes the generated parts of the README: settings, message, config keys, state diagram.

A part of the README stands between two comments, `<!-- generated: NAME -->` and
`<!-- end: NAME -->`. `--check` changes nothing and ends with 1 if something is not what the code
says.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import PydanticUndefined

from consumer.api.app import document as openapi_document
from consumer.contract.generated import asyncapi, message_schema
from consumer.contract.message import TradeMessage
from consumer.controls.registry import KEYS
from consumer.queue.topology import Topology
from consumer.settings import Settings
from consumer.stopping import AFTER, Phase
from consumer.watching import metrics
from storage.states import FOLLOWS, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo

DEPLOY = Path(__file__).resolve().parent
README = DEPLOY.parent / "README.md"
SCHEMAS = DEPLOY.parent / "consumer" / "schemas"


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


def config_table() -> str:
    """Draw the table of config keys from their registry."""
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key in KEYS:
        names = "<br>".join(f"`{pattern}`" for pattern in key.patterns)
        rows.append(f"| {names} | {key.expected} | {key.default} | {_cell(key.meaning)} |")
    return "\n".join(rows)


def state_diagram() -> str:
    """Draw the state machine from the table of states."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {OrderState.RECEIVED}"]
    for before in OrderState:
        lines += [f"    {before} --> {after}" for after in OrderState if after in FOLLOWS[before]]
    lines += [f"    {state} --> [*]" for state in OrderState if not FOLLOWS[state]]
    return "\n".join([*lines, "```"])


def stopping_diagram() -> str:
    """Draw how a worker stops from the table of its phases."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Phase.WORKING}"]
    lines += [f"    {before} --> {after}: {sign}" for (before, sign), after in AFTER.items()]
    lines += [f"    {end} --> [*]" for end in (Phase.STOPPED, Phase.ENDED)]
    return "\n".join([*lines, "```"])


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "message": message_table,
    "states": state_diagram,
    "stopping": stopping_diagram,
    "config": config_table,
}


def metrics_page() -> str:
    """Write the page of all metrics from the table of metrics."""
    lines = [
        "# Metrics",
        "",
        "Generated from `consumer/watching/metrics.py` by `make docs`. Every worker serves them at",
        "`/metrics`; what is counted in the ledger or at the broker is the same on each, so take",
        "the `max` of it.",
        "",
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    for family in sorted(metrics.described(), key=lambda one: one.name):
        labels = ", ".join(family.labels)
        lines.append(f"| `{family.name}` | {family.kind} | {labels} | {_cell(family.about)} |")
    return "\n".join([*lines, ""])


def asyncapi_document() -> str:
    """Write the AsyncAPI document for the default names."""
    names = {name: Settings.model_fields[name].default for name in _NAMES}
    topology = Topology(
        names["trade_queue"], names["trade_exchange"], tuple(names["retry_delays"].split(","))
    )
    return _json(asyncapi(topology))


_NAMES = ("trade_queue", "trade_exchange", "retry_delays")


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def prometheus_rule() -> str:
    """Wrap the alert rules as the Prometheus operator takes them."""
    rules = (DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    groups = rules[rules.index("groups:") :]
    return (
        "# Generated from deploy/prometheus/alerts.yml by `make docs`.\n"
        "apiVersion: monitoring.coreos.com/v1\n"
        "kind: PrometheusRule\n"
        "metadata:\n"
        "  name: trade-worker\n"
        "spec:\n" + textwrap.indent(groups, "  ")
    )


# Documents that are generated as a whole.
DOCUMENTS: dict[Path, Callable[[], str]] = {
    SCHEMAS / "message.schema.json": lambda: _json(message_schema()),
    SCHEMAS / "asyncapi.json": asyncapi_document,
    SCHEMAS / "openapi.json": lambda: _json(openapi_document()),
    DEPLOY / "METRICS.md": metrics_page,
    DEPLOY / "kubernetes" / "base" / "prometheusrule.yaml": prometheus_rule,
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
    wanted = {README: renewed(README.read_text(encoding="utf-8"))}
    wanted |= {path: write() for path, write in DOCUMENTS.items()}
    stale = [
        path
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        name = path.relative_to(DEPLOY.parent)
        if options.check:
            print(f"{name} is out of date: run `make docs`")
        else:
            path.write_text(wanted[path], encoding="utf-8")
            print(f"{name} written anew")
    if not stale:
        print("all generated documents are up to date")
    return int(bool(stale) and options.check)


if __name__ == "__main__":
    sys.exit(main())
