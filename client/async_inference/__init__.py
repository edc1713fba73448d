"""Asynchronous inference: files in, notifications awaited, answers out."""
