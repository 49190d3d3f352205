"""The command line: declarations, and one call each."""
