"""What a pytest session holds: groups, cases, gate, summary and report."""
