"""What an operator can tell a running worker (routing, kill switch, limits), and its obeying."""
