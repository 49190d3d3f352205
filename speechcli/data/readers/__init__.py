"""One file for each layout of a corpus: a path in, rows out."""
