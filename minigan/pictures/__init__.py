"""What one looks at: sheets of samples and films (sheets.py), figures of a training run (figures.py)."""
