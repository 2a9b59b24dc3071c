"""Sets of prompts as files: made from a seed, and searched for faults."""
