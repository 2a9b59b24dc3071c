"""Ranks forked on this machine by a server of our own."""
