"""The native engine's model: its shapes, its weights, and the share of it that a rank holds."""
