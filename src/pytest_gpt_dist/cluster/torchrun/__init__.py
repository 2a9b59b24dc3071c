"""Ranks on several machines, brought up by torchrun: it meets, restarts and watches; pytest hands out the work.

On each machine `torchrun … -m pytest_gpt_dist.cluster.torchrun --control HOST:PORT` starts members, one for each
device. A member connects to pytest's control address, proves that it knows the secret, and forks a rank whenever the
controller asks for one: so every launch has new processes, a rank that hangs is killed without a restart of the world,
and a member ends only with its machine. What torchrun restarts connects again.
"""
