"""One file per use case: options in, result out, no printing.

The use cases are `job` (transcribe and translate), `train`, `overfit`, `average`, `evaluate`, `check`, `vocabulary`,
`info`, `init` and `warm_start`; their options are in `…options.py`, and their parts in the folders.
"""
