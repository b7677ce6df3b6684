"""The client order id that contestants give an order; who measures finds the order by it."""

from __future__ import annotations

import hashlib


def client_id(request_id: str) -> str:
    """A client order id that the exchange takes."""
    return hashlib.sha256(request_id.encode()).hexdigest()[:32]
