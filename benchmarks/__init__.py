"""What the project measures of itself. Nothing in the packages imports this."""
