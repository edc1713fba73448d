"""`make bench`: every claim about speed, measured as a ratio to a baseline in the same run."""
