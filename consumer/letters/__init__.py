"""Dead letters: collecting them, replaying them, rehearsing a replay."""
