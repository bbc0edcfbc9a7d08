"""Scores of many videos as files: made in parts that survive a kill, written in three formats, read again."""
