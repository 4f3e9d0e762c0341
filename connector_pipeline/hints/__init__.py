"""The receiver of webhooks, an optional extra (docs/deploying.md, Receiver of webhooks)."""
