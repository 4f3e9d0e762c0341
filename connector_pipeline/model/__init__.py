"""The words of the project as types. Imports nothing else of ours: no Dagster, no HTTP, no SQL."""
