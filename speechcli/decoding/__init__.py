"""From encoder memory to token ids; a model is seen only as "ids and cache to logits"."""
