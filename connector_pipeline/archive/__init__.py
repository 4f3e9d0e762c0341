"""Raw snapshots: what a platform said, page by page, kept outside Postgres."""
