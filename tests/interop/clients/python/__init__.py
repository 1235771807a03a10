"""Client programs on the OAuth libraries of PyPI."""
