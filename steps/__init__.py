"""One file a verb: `python -m steps.<verb>`, the commands behind MLproject's entry points."""
