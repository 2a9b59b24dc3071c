"""Whether a case got slower: data of launches, statistics, verdicts. Pure functions of plain values."""
