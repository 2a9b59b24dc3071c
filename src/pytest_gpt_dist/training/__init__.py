"""Training as a mode: every way of dividing it, exact to one process, and timed step by step."""
