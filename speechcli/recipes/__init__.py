"""Training recipes of the package."""
