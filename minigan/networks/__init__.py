"""One architecture from one source a file."""
