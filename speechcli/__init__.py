"""Speech recognition and translation: any pretrained speech encoder with any pretrained text decoder."""

__version__ = "0.1.0"
