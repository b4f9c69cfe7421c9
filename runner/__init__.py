"""Trains small language models and leaves logs that can be trusted. Knows nothing of posts."""
