"""Keep a Postgres catalog true to thousands of merchants' shops, with Dagster."""
