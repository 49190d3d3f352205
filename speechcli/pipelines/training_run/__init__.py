"""What a training run is made of, and the folder it leaves behind."""
