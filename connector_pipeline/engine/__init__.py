"""All code that depends on Dagster's internals: private imports, its tables, tags and cursors.

No other package imports `dagster._*`. Each module here says what it needs, with which version of
Dagster it was tried, and which public part of Dagster would replace it. Its test fails loudly when
Dagster changes it.
"""
