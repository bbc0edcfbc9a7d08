"""The model registry: which version may be served, and why. Its data is the top-level folder `registry`."""
