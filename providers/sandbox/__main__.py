"""Run a sandbox by hand: `python -m providers.sandbox --limits off --fill-delay 0`.

Prints one line of JSON once it listens: base URLs, keys, options. Stops on SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import orjson

from providers.sandbox.server import DEFAULT_PORT, serve

if TYPE_CHECKING:
    from providers.sandbox.server import RunningSandbox


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m providers.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port, 0 for a free one")
    parser.add_argument("--seed", type=int, default=0, help="prices and ids follow from it")
    parser.add_argument("--limits", choices=("published", "off"), default="published")
    parser.add_argument("--fill-delay", type=float, default=0.005, help="seconds, 0 fills at once")
    parser.add_argument("--splits", type=int, default=1, help="executions a fill is made of")
    given = parser.parse_args()
    serve(
        given.host,
        given.port,
        on_ready=_announce,
        seed=given.seed,
        limits=given.limits,
        fill_delay=given.fill_delay,
        splits=given.splits,
    )


def _announce(running: RunningSandbox) -> None:
    sys.stdout.buffer.write(orjson.dumps(running.sandbox.info(running.origin)) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
