"""One page about a training run: `speechcli report`."""
