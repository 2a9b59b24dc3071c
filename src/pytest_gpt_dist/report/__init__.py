"""From saved results to what people look at."""
