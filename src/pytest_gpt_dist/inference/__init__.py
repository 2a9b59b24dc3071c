"""Generation: workloads, engines, checks and figures of the first mode."""
