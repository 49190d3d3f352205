"""From encoder memory to token ids; a model is just a function from ids and cache to logits."""
