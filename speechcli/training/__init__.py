"""Objective, optimizer, training loop and checkpoints."""
