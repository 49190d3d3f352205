"""From encoded speech to texts, as the user and the model say; for every command that writes."""
