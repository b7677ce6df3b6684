"""The sandbox over HTTP: one process, each venue under its own prefix, faults carried out here.

    http://127.0.0.1:PORT/bybit/v5/order/create     a venue, its own paths below its base URL
    http://127.0.0.1:PORT/_sandbox/truth            the control API

Requests reach the venue as the bytes that came in: raw path, raw query, raw body. Spoiling a
request (waiting, cutting the connection, answering rubbish) is decided in `faults.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web

from providers.sandbox import control, sockets
from providers.sandbox.fault_kinds import FaultKind
from providers.sandbox.faults import NO_FAULT, Plan, Target
from providers.sandbox.sandbox import START_BALANCE, Options, Sandbox
from providers.sandbox.truth import Seen
from providers.sandbox.wire import Call, Facade, Inbound, Reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from providers.sandbox.limits import LimitsSetting

DEFAULT_PORT: Final = 8790

_CONTROL: Final = "_sandbox"
_TICK_SECONDS: Final = 0.05
_SHUTDOWN_SECONDS: Final = 0.1
_BAD_GATEWAY: Final = 502
_DROPPED: Final = "dropped"
_STREAM: Final = "stream"
_GC_THRESHOLDS: Final = (100_000, 50, 1000)


class Handler:
    """Takes requests off the wire and answers them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request."""
        sandbox = self._sandbox
        target, _, query = request.raw_path.partition("?")
        venue, _, path = target.removeprefix("/").partition("/")
        inbound = Inbound(
            method=request.method,
            path=f"/{path}",
            query=query,
            headers=request.headers,
            arrived_ms=sandbox.clock.now_ms(),
            arrived_ns=time.time_ns(),
            body=await request.read() if request.body_exists else b"",
        )
        if venue == _CONTROL:
            reply = control.answer(sandbox, inbound)
            sandbox.streams.flush(sandbox.clock.now_ms())
            return _response(reply)
        facade = sandbox.facades.get(venue)
        if facade is None:
            text = f"no venue at /{venue}; there are {', '.join(sandbox.facades)}, and /{_CONTROL}"
            return web.Response(status=404, text=text)
        if "Upgrade" in request.headers:
            return await self._stream(request, facade, inbound)
        answer = await self._carry_out(facade, inbound)
        if answer is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return _response(answer)

    async def _stream(
        self, request: web.BaseRequest, facade: Facade, inbound: Inbound
    ) -> web.StreamResponse:
        """Open a stream; faults on the endpoint `stream` keep clients from opening one."""
        session = facade.connect(inbound)
        if session is None:
            return web.Response(status=404, text=f"no stream at {inbound.path}")
        call = Call(inbound=inbound, endpoint=_STREAM)
        plan = self._sandbox.faults.plan(_target(facade, call), inbound.arrived_ms)
        await _wait(plan.latency_ms)
        if plan.dropped and request.transport is not None:
            request.transport.abort()
        if plan.dropped or not plan.executes:
            return web.Response(status=plan.answer.status or 503 if plan.answer else 503)
        return await sockets.serve(
            request, self._sandbox, facade, inbound, session, self._carry_out
        )

    async def _carry_out(self, facade: Facade, inbound: Inbound) -> Reply | None:
        """Serve a request, spoiling it as the faults want; None if it is to get no answer."""
        sandbox = self._sandbox
        call = facade.read(inbound)
        plan = NO_FAULT
        if sandbox.faults.rules:
            plan = sandbox.faults.plan(_target(facade, call), sandbox.clock.now_ms())
        if plan is NO_FAULT:
            reply = self._serve(facade, call)
        else:
            reply = await self._spoil(facade, call, plan)
        self._remember(facade, call, plan, reply)
        if sandbox.streams.busy:
            sandbox.streams.flush(sandbox.clock.now_ms())
        return None if plan.dropped else reply

    def _serve(self, facade: Facade, call: Call) -> Reply:
        now_ms = self._sandbox.clock.now_ms()
        return facade.admit(call, now_ms) or facade.execute(call, now_ms)

    async def _spoil(self, facade: Facade, call: Call, plan: Plan) -> Reply:
        """Carry a plan out; the connection is cut afterwards, if it says so."""
        clock = self._sandbox.clock
        call.skew_ms, call.treatment = plan.skew_ms, plan.treatment
        await _wait(plan.latency_ms / 2)
        reply = None
        executed = False
        if plan.executes:
            reply = facade.admit(call, clock.now_ms())
            if reply is None:
                await _wait(plan.processing_delay_ms)
                if plan.recheck_window:
                    reply = facade.too_old(call, clock.now_ms())
            if reply is None:
                reply = facade.execute(call, clock.now_ms())
                executed = True
        if plan.answer is not None and (executed or not plan.executes):
            reply = self._injected(facade, call, plan)
        await _wait(plan.reply_delay_ms + plan.latency_ms / 2)
        return reply if reply is not None else Reply(body=b"")

    def _injected(self, facade: Facade, call: Call, plan: Plan) -> Reply:
        rule = plan.answer
        if rule is None:
            raise RuntimeError("an injected answer needs the rule that asks for it")
        if rule.kind is not FaultKind.SERVER_ERROR:
            return facade.refuse(call, rule, self._sandbox.clock.now_ms())
        status = rule.status or _BAD_GATEWAY
        page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>"
        return Reply(body=page.encode(), status=status, content_type="text/html; charset=utf-8")

    def _remember(self, facade: Facade, call: Call, plan: Plan, reply: Reply) -> None:
        inbound = call.inbound
        self._sandbox.truth.seen(
            Seen(
                arrived_ms=inbound.arrived_ms,
                venue=facade.venue,
                method=inbound.method,
                path=inbound.path,
                endpoint=call.endpoint,
                symbol=call.symbol,
                client_order_id=call.client_order_id,
                outcome=_DROPPED if plan.dropped else str(reply.status),
                code=reply.code,
                faults=tuple(str(kind) for kind in plan.kinds),
            )
        )


class RunningSandbox:
    """A sandbox that serves; close it when done.

    Attributes:
        host: the address it listens on.
        port: the port, chosen by the system if 0 was asked for.
        sandbox: the exchange itself, for tests that want to look inside.
    """

    def __init__(self, sandbox: Sandbox, runner: web.ServerRunner, host: str, port: int) -> None:
        self.sandbox = sandbox
        self.host = host
        self.port = port
        self._runner = runner
        self._ticker = asyncio.create_task(self._tick(), name="sandbox-ticker")

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def control_url(self) -> str:
        """Where the control API is."""
        return f"{self.origin}/{_CONTROL}"

    def base_url(self, venue: str = "bybit") -> str:
        """The base URL of a venue; its documented paths follow it."""
        self.sandbox.facade(venue)
        return f"{self.origin}/{venue}"

    def key(self, venue: str = "bybit") -> str:
        """The API key of a venue's start account."""
        return self.sandbox.start_credentials(venue).key

    def secret(self, venue: str = "bybit") -> str:
        """The API secret of a venue's start account."""
        return self.sandbox.start_credentials(venue).secret

    async def close(self) -> None:
        """Stop serving; requests still waiting on a fault are abandoned."""
        self._ticker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._ticker
        self.sandbox.streams.cut()
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _tick(self) -> None:
        """Let order life go on while nobody asks."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.sandbox.advance()
            if self.sandbox.streams.busy:
                self.sandbox.streams.tick(self.sandbox.clock.now_ms())


async def start_sandbox(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    seed: int = 0,
    limits: LimitsSetting = "published",
    fill_delay: float = 0.005,
    splits: int = 1,
    balance: Decimal = START_BALANCE,
) -> RunningSandbox:
    """Start a sandbox in the running event loop.

    Args:
        host: address to listen on; keep it loopback.
        port: port, 0 for a free one.
        seed: prices and ids follow from it.
        limits: `published`, `off`, or caps by endpoint name.
        fill_delay: seconds until an accepted order moves on; 0 settles it at once.
        splits: executions a fill is made of.
        balance: USDT of each venue's start account.

    Raises:
        ValueError: an option is out of range.
        OSError: the port is taken.
    """
    sandbox = Sandbox(
        Options(seed=seed, limits=limits, fill_delay=fill_delay, splits=splits, balance=balance)
    )
    server = web.Server(Handler(sandbox), access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024)
        await site.start()
    except BaseException:
        await runner.cleanup()
        raise
    bound = runner.addresses[0][1]
    return RunningSandbox(sandbox, runner, host, bound)


def serve(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    on_ready: Callable[[RunningSandbox], None] | None = None,
    **options: Any,  # noqa: ANN401 - those of start_sandbox
) -> None:
    """Serve until SIGINT or SIGTERM, on uvloop where it is installed.

    Args:
        host: address to listen on; keep it loopback.
        port: port, 0 for a free one.
        on_ready: called once it listens.
        options: the keyword arguments of `start_sandbox`.
    """

    async def run() -> None:
        running = await start_sandbox(host, port, **options)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            if on_ready is not None:
                on_ready(running)
            await stop.wait()
        finally:
            await running.close()

    # The truth only grows, so walking it again and again in search of garbage is wasted time.
    gc.set_threshold(*_GC_THRESHOLDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - an optional speed-up
    except ImportError:
        return None
    return uvloop.new_event_loop


def _target(facade: Facade, call: Call) -> Target:
    return Target(
        venue=facade.venue,
        method=call.inbound.method,
        path=call.inbound.path,
        endpoint=call.endpoint,
        symbol=call.symbol,
        client_order_id=call.client_order_id,
    )


def _response(reply: Reply) -> web.Response:
    headers = {"Content-Type": reply.content_type, **reply.headers}
    return web.Response(body=reply.body, status=reply.status, headers=headers)


async def _wait(ms: float) -> None:
    if ms:
        await asyncio.sleep(ms / 1000)
