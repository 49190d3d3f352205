"""Blocks: torch modules that know no family, file or option."""
