"""What this machine is ready for: one finding a line, each with what to do about it."""
