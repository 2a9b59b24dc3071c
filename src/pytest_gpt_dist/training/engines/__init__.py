"""Other people's trainers: what their configurations say of a workload."""
