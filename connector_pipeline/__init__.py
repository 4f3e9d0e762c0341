"""Keep a Postgres catalog true to thousands of merchants' shops, with Dagster."""

from connector_pipeline.garbage_collection import expect_long_lives

# Here, because it must come before the imports that it is for, whichever process does them.
expect_long_lives()
