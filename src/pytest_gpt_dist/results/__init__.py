"""What sessions saved: the one reader of their files, the checks of an entry, and texts in a line."""
