"""Sound: files to waveforms to features."""
