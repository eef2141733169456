"""Turns values into messages and back, a file per proto. Pure: opens nothing and calls nothing."""
