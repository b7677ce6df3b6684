"""What is kept: the order ledger and its migrations in PostgreSQL, reports in object storage."""
