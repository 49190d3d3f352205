"""Folders on disk to models in memory, and back."""
