"""What this machine is ready for: one finding after the other, each with what to do about it."""
