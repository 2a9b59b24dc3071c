"""What each ``gpt-dist`` command does: a module a command, imported when it is asked for."""
