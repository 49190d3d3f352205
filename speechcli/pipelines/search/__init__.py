"""From encoded speech to text; shared by all commands that decode."""
