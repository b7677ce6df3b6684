"""Asks a RabbitMQ node whether it accepts work: log in, declare a quorum queue, delete it again.

An open port is not enough, since a node opens it before everything behind it answers. This speaks
the few frames of AMQP 0-9-1 that are needed, so that it works before anything is installed. It is
no client: use aio-pika for that.
"""

from __future__ import annotations

import socket
import struct

from deploy.local_processes import LOOPBACK, receive_exactly

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
FRAME_END = 0xCE
METHOD_FRAME = 1
QUEUE = "trade-worker.start-probe"
ANSWER_SECONDS = 5.0

# class id, method id (AMQP 0-9-1 specification, section 1)
CONNECTION_START, CONNECTION_START_OK = (10, 10), (10, 11)
CONNECTION_TUNE, CONNECTION_TUNE_OK = (10, 30), (10, 31)
CONNECTION_OPEN, CONNECTION_OPEN_OK = (10, 40), (10, 41)
CONNECTION_CLOSE, CONNECTION_CLOSE_OK = (10, 50), (10, 51)
CHANNEL_OPEN, CHANNEL_OPEN_OK = (20, 10), (20, 11)
QUEUE_DECLARE, QUEUE_DECLARE_OK = (50, 10), (50, 11)
QUEUE_DELETE, QUEUE_DELETE_OK = (50, 40), (50, 41)

DURABLE = 0b00010


def accepts_quorum_queues(port: int, user: str, password: str) -> bool:
    """Whether the node on this loopback port logs us in and declares a quorum queue.

    Args:
        port: AMQP port on 127.0.0.1.
        user: user name.
        password: password.

    Raises:
        OSError: not reachable, not answering in time, or refusing (an unready node closes the
            connection).
    """
    with socket.create_connection((LOOPBACK, port), timeout=ANSWER_SECONDS) as connection:
        connection.sendall(PROTOCOL_HEADER)
        _expect(connection, CONNECTION_START)
        login = f"\0{user}\0{password}".encode()
        _send(
            connection,
            0,
            CONNECTION_START_OK,
            _table(b"") + _short("PLAIN") + struct.pack(">I", len(login)) + login + _short("en_US"),
        )
        channels, frame_size, _heartbeat = struct.unpack(
            ">HIH", _expect(connection, CONNECTION_TUNE)
        )
        _send(connection, 0, CONNECTION_TUNE_OK, struct.pack(">HIH", channels, frame_size, 0))
        _send(connection, 0, CONNECTION_OPEN, _short("/") + _short("") + b"\0")
        _expect(connection, CONNECTION_OPEN_OK)
        _send(connection, 1, CHANNEL_OPEN, _short(""))
        _expect(connection, CHANNEL_OPEN_OK)
        kind = _short("x-queue-type") + b"S" + struct.pack(">I", len(b"quorum")) + b"quorum"
        _send(
            connection,
            1,
            QUEUE_DECLARE,
            b"\0\0" + _short(QUEUE) + bytes([DURABLE]) + _table(kind),
        )
        _expect(connection, QUEUE_DECLARE_OK)
        _send(connection, 1, QUEUE_DELETE, b"\0\0" + _short(QUEUE) + b"\0")
        _expect(connection, QUEUE_DELETE_OK)
        _send(connection, 0, CONNECTION_CLOSE, struct.pack(">H", 200) + _short("") + b"\0\0\0\0")
        _expect(connection, CONNECTION_CLOSE_OK)
        return True


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def _table(fields: bytes) -> bytes:
    return struct.pack(">I", len(fields)) + fields


def _send(
    connection: socket.socket, channel: int, method: tuple[int, int], arguments: bytes
) -> None:
    payload = struct.pack(">HH", *method) + arguments
    header = struct.pack(">BHI", METHOD_FRAME, channel, len(payload))
    connection.sendall(header + payload + bytes([FRAME_END]))


def _expect(connection: socket.socket, method: tuple[int, int]) -> bytes:
    """The arguments of the next frame, which must be this method."""
    frame_type, _channel, size = struct.unpack(">BHI", receive_exactly(connection, 7))
    payload = receive_exactly(connection, size + 1)
    found = struct.unpack(">HH", payload[:4]) if frame_type == METHOD_FRAME else frame_type
    if found != method:
        raise ConnectionError(f"expected AMQP method {method}, got {found}")
    return payload[4:-1]
