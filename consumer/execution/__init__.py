"""One message's way to the exchange, and following its order to the end."""
