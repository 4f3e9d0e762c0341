"""The page for Prometheus. An extra brings its packages; only the command `metrics` imports it."""
