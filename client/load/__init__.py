"""A small load generator: open loop at a rate, or closed loop with a number of callers."""
