"""Audio: files -> waveforms -> features."""
