"""Checkpoints in formats that others published: read without running code from them, and written."""
