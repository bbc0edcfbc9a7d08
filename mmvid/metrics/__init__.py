"""Metrics as functions of tensors, and streaming meters that call them."""
