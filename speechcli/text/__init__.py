"""Tokenizers, language names and text normalisation; without torch."""
