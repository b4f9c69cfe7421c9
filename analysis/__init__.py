"""Reads evidence and writes pages. Knows the runner only through the files that it leaves."""
