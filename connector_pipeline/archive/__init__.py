"""Raw snapshots: a platform's responses, page by page, kept outside Postgres."""
