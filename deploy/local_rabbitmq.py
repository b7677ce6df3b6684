"""RabbitMQ as a private server: own node name, ports, data and cookie, on loopback only.

It is started by the program that the package brings, not by the wrapper in /usr/sbin, which wants
to be root and to use the system's data. Nothing of /etc/rabbitmq is read. A node registers with the
port mapper epmd; an own one is run for each node on an own port, because the one a node starts by
itself would stay behind.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.amqp_probe import accepts_quorum_queues
from deploy.local_processes import LOOPBACK, LocalServiceError, wait_until
from deploy.local_server import PASSWORD, USER, PrivateServer, Setting

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_SECONDS = 10.0
OLDEST = (3, 10)  # the first with message TTL and at-least-once dead-lettering in quorum queues
SERVER_PLACES = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server",
)
EPMD_PLACES = ("/usr/lib/erlang/erts-*/bin/epmd", "/usr/local/lib/erlang/erts-*/bin/epmd")


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs that a private node needs."""

    server: Path
    epmd: Path


def find() -> Callable[[Setting], PrivateServer] | None:
    """How to build a private node with the programs installed, or None without them.

    Raises:
        LocalServiceError: RabbitMQ is installed, but too old.
    """
    server = _first("rabbitmq-server", SERVER_PLACES, path_first=False)
    epmd = _first("epmd", EPMD_PLACES, path_first=True)
    if server is None or epmd is None:
        return None
    if (version := version_of(server)) is not None and version < OLDEST:
        raise LocalServiceError(
            f"RabbitMQ {version[0]}.{version[1]} at {server} is too old: at least "
            f"{OLDEST[0]}.{OLDEST[1]} is needed; start a Docker engine or set AMQP_URL instead"
        )
    programs = Programs(server, epmd)
    return partial(RabbitMQ, programs=programs)


def version_of(server: Path) -> tuple[int, int] | None:
    """Major and minor version, as the name of the installed folder tells; None if it does not."""
    match = re.search(r"/rabbitmq_server-(\d+)\.(\d+)", str(server.resolve()))
    return (int(match[1]), int(match[2])) if match else None


def _first(program: str, places: tuple[str, ...], *, path_first: bool) -> Path | None:
    on_path = shutil.which(program)
    in_places = [
        found
        for place in places
        for found in sorted(Path("/").glob(place.lstrip("/")), reverse=True)
    ]
    candidates = [Path(on_path)] if on_path else []
    candidates = [*candidates, *in_places] if path_first else [*in_places, *candidates]
    return next(iter(candidates), None)


class RabbitMQ(PrivateServer):
    """A private RabbitMQ node.

    A node writes the register of its quorum queues down with a delay (about 1 s, seen with 3.10.8).
    A queue declared just before the node is killed is not in it: after the restart the queue is
    still listed, but never elects a leader, and what it held is lost. So a test that kills the node
    calls `wait_until_kept` with the queues it has declared.
    """

    title = "RabbitMQ"
    port_count = 3  # AMQP, Erlang distribution, epmd

    def __init__(self, setting: Setting, programs: Programs) -> None:
        super().__init__(setting)
        self._programs = programs
        # The data folder is named for the node, so a kept instance must find its name again.
        place = hashlib.sha256(str(setting.folder).encode()).hexdigest()[:8]
        self._node = f"tw-{place}@localhost"

    @property
    def url(self) -> str:
        """`amqp://` URL of the default virtual host."""
        return f"amqp://{USER}:{PASSWORD}@{self.address}/"

    def launch(self) -> None:
        """Start epmd and the node."""
        folder = self.setting.folder
        amqp_port, distribution_port, epmd_port = self.ports
        home, conf_d = folder / "home", folder / "conf.d"
        for made in (home, conf_d):
            made.mkdir(mode=0o700, exist_ok=True)
        files = {
            "rabbitmq.conf": (
                f"listeners.tcp.1 = {LOOPBACK}:{amqp_port}\n"
                f"default_user = {USER}\n"
                f"default_pass = {PASSWORD}\n"
            ),
            "advanced.config": "[].\n",
            "enabled_plugins": "[].\n",
            "rabbitmq-env.conf": "",
        }
        for name, text in files.items():
            (folder / name).write_text(text, encoding="ascii")
        mapper = {"ERL_EPMD_PORT": str(epmd_port), "ERL_EPMD_ADDRESS": LOOPBACK}
        self.run([self._programs.epmd], environ={"HOME": str(home), **mapper})
        environ = {
            "HOME": str(home),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(amqp_port),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(conf_d),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            **mapper,
        }
        self.run([self._programs.server], environ=environ)

    def wait_until_kept(self, *queues: str) -> None:
        """Wait until the node has written down that it has these quorum queues.

        Args:
            queues: names of queues in the default virtual host.

        Raises:
            LocalServiceError: some are not written down in time, or do not exist.
        """
        atoms = [f"%2F_{queue}".encode() for queue in queues]
        marks = [
            bytes([len(atom)]) + atom for atom in atoms
        ]  # with its length, as Erlang writes it
        data = self.setting.folder / "mnesia" / self._node
        register = data / "quorum" / self._node / "names.dets"

        def written() -> bool:
            content = register.read_bytes()
            return all(mark in content for mark in marks)

        wait_until(
            written,
            seconds=KEPT_SECONDS,
            failure=self._why_ended,
            cancelled=self.setting.cancelled,
        )

    def is_ready(self) -> bool:
        """Whether it declares a quorum queue."""
        return accepts_quorum_queues(self.ports[0], USER, PASSWORD)
