"""One file per corpus layout: a path in, rows out."""
