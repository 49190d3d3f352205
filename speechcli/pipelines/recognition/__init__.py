"""From audio to text: recordings are cut into pieces, decoded, and joined into transcripts."""
