"""A model that listens: recordings to pieces, pieces to texts, texts to transcripts."""
