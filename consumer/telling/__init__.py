"""What is told of orders: reports, logs, notices, the summary of a day."""
