"""The data that the embedded model is trained on: manifests, joined and synthetic recordings, and its tokenizer.

`python -m speechcli.recipes.embedded_data --data DIR --out DIR` makes everything; `--help` says what it needs.
"""
