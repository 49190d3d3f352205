"""Training presets shipped with the package, commented key by key."""
