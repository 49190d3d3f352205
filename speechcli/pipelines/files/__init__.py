"""Recordings in, texts out: what the user names, and where the results go."""
