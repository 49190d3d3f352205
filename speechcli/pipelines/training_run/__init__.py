"""The parts of a training run, and the files in its folder."""
