"""The `trade-worker` command: one module a group of commands, all thin over the library."""
