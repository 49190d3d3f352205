"""Loading and saving of model folders."""
