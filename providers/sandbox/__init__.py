"""A sandbox exchange over HTTP: venues' APIs, an engine behind them, faults on demand, the truth.

For tests, demonstrations and load: clients talk to it as to the real venue, by changing the base
URL. It shares no code with the clients in `providers`, so that it can contradict them.

    async with await start_sandbox(seed=1) as running:
        running.base_url("bybit"), running.key("bybit"), running.secret("bybit")
"""

from providers.sandbox.client import SandboxControl, SandboxControlError, TruthReport
from providers.sandbox.faults import FaultKind, FaultRule
from providers.sandbox.server import DEFAULT_PORT, RunningSandbox, serve, start_sandbox

__all__ = [
    "DEFAULT_PORT",
    "FaultKind",
    "FaultRule",
    "RunningSandbox",
    "SandboxControl",
    "SandboxControlError",
    "TruthReport",
    "serve",
    "start_sandbox",
]
