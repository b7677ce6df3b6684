"""Being watched: metrics, vital signs, traces, the trail of a message."""
