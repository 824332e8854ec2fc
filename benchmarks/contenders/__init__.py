"""The contenders: the same work written for each library, one file each, to be read side by side."""
