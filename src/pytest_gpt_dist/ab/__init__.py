"""Two sides on one machine, measured in turns."""
