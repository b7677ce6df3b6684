"""The REST API: the same execution as the queue's, and what operators read and change."""
