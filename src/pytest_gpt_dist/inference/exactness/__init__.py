"""Whether what was generated is right: references, tolerances, and transformers' own word."""
