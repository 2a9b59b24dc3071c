"""What this machine is: GPUs, cores, memory, and the limits that control groups set."""
