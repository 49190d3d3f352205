"""Input and output files of a job."""
