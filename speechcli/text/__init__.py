"""Language: tokenizers, language names, text normalisation; no torch."""
