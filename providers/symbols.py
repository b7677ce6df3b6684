"""One spelling for a symbol: `BTC-USDT`, `BTC_USDT` and `btc/usdt` all mean `BTCUSDT`.

Says nothing about whether a symbol is listed anywhere; that is the instrument's business.
"""

from __future__ import annotations

import re

SPELLING = re.compile(r"[A-Za-z0-9]{1,40}(?:[-_/][A-Za-z0-9]{1,40})?", re.ASCII)


def normalise(text: str) -> str:
    """Return the symbol in upper case, without its separator.

    Raises:
        ValueError: for anything but letters and digits with at most one `-`, `_` or `/` inside.
    """
    if SPELLING.fullmatch(text) is None:
        shown = text if len(text) <= 80 else f"{text[:80]}…"  # noqa: PLR2004 - a readable message
        raise ValueError(
            f"symbol {shown!r} is not readable: write letters and digits, with at most one of "
            "'-', '_', '/' between base and quote, for example BTCUSDT or BTC-USDT"
        )
    return text.replace("-", "").replace("_", "").replace("/", "").upper()
