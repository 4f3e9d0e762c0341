"""Dagster's UI behind a guard. An extra brings its packages; only the command line imports it."""
