"""The queue: what the broker must look like, taking, settling, publishing."""
