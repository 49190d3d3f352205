"""Objectives, optimiser, the training loop and its state."""
