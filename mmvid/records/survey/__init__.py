"""What is in records of any schema: every key with its kind, sizes and values, in one pass and bounded memory."""
