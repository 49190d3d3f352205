"""Manifests, batches and collation for training and scoring."""
