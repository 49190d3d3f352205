"""One file per use case: options in, result out, no printing.

The use cases are `job` (transcribe and translate), `train`, `overfit`, `average`, `evaluate`, `check`, `vocabulary`,
`info`, `init` and `warm_start`; the `…options` say what they are told. The folders hold what they are made of.
"""
