"""Building blocks: torch modules that are independent of model families, files and options."""
