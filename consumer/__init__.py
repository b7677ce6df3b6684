"""The daemon: from a delivery on the queue to a settled delivery (batches, execution, CLI)."""
