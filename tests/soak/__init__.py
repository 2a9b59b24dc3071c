"""Real sessions of the plugin with faults injected at random moments; `make soak` runs them, `make test` does not."""
