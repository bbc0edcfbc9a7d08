"""Runs stay true: what is done, running, stale or missing, and what nobody needs any more."""
