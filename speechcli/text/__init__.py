"""Tokenizers, language names and text normalization; without torch."""
