"""Dagster's UI behind a gate. An extra brings its packages; only the command line imports it."""
