"""The programs that trade-worker is compared with, each a process of its own.

All do the same: a message, a durable row, a signed order over HTTP, a durable outcome, an ack.
"""
