"""The receiver of webhooks, an optional extra (docs/architecture.md, Hints)."""
