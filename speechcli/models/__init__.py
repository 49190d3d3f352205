"""Whole networks made of the blocks in `speechcli.nn`."""
