"""`python -m consumer` is the `trade-worker` command."""

from __future__ import annotations

from consumer.cli.app import main

if __name__ == "__main__":
    main()
