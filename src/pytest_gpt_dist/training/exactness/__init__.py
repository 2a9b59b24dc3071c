"""Whether a training may have numbers: gradients, norms and losses of one process."""
