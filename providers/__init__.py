"""The exchanges: one interface, a router, a client for each venue, order maths, the sandbox.

Nothing in here knows of queues or databases.
"""
