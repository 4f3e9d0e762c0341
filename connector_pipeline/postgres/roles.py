"""The SQL by which an administrator makes the roles, and the rights of each."""

from typing import Final

from connector_pipeline.postgres.grants import (
    MONITOR_ROLE,
    OWNER_ROLE,
    PIPELINE_ROLE,
    READER_ROLE,
    REQUESTER_ROLE,
    pipeline_table_grants,
)
from connector_pipeline.postgres.schema_names import CATALOG, CONNECTOR

_HEAD: Final = """\
-- The roles of connector-pipeline, and the rights of each.
--
-- An administrator runs this once, in the database that CONNECTOR_DATABASE_URL names, before or
-- after its first migration: psql -v ON_ERROR_STOP=1 -f roles.sql DATABASE
-- It may be run again. It needs a superuser, or the database's owner with CREATEROLE; part 5 needs
-- a superuser and is left out without one.
--
--   {owner}     owns the schemas and their tables; `connector-pipeline migrate` connects as it
--   {pipeline}  reads and writes rows, and owns nothing; all other processes connect as it
--   {reader}      reads the schema {catalog}
--   {requester}      leaves sync requests in {connector}.sync_requests, and reads how its own
--                       ended in {connector}.sync_request_outcomes
--   {monitor}   reads the view {connector}.metrics
--
-- No role may log in yet. Give {owner} a password for migrations
--     ALTER ROLE {owner} LOGIN PASSWORD '...';
-- and each program a user of its own in the role that it needs:
--     CREATE ROLE connector LOGIN PASSWORD '...' IN ROLE {pipeline};
--     CREATE ROLE catalog_service LOGIN PASSWORD '...' IN ROLE {reader};
-- Dagster makes the tables of its own database: CREATE DATABASE dagster OWNER connector;
-- Then run `connector-pipeline migrate` as {owner}: every migration grants what its tables need.

BEGIN;

-- 1. The roles.
{roles}
-- A user who is no superuser can give a schema only to a role that he is in.
DO $$ BEGIN
    IF current_setting('is_superuser') <> 'on' THEN
        GRANT {owner} TO CURRENT_USER;
    END IF;
END $$;

-- 2. The schemas, and what is in them already, belong to {owner}.
CREATE SCHEMA IF NOT EXISTS {catalog} AUTHORIZATION {owner};
CREATE SCHEMA IF NOT EXISTS {connector} AUTHORIZATION {owner};
ALTER SCHEMA {catalog} OWNER TO {owner};
ALTER SCHEMA {connector} OWNER TO {owner};
DO $$ DECLARE found record; BEGIN
    FOR found IN
        SELECT format('%I.%I', nspname, relname) AS name FROM pg_class
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname IN ('{catalog}', '{connector}') AND relkind IN ('r', 'p', 'v', 'm')
            AND relowner <> '{owner}'::regrole
    LOOP
        -- ALTER TABLE is for views, too.
        EXECUTE format('ALTER TABLE %s OWNER TO {owner}', found.name);
    END LOOP;
END $$;

-- 3. Everybody's rights are taken away: temporary tables here, and whatever is in the schemas.
--    Where nobody else uses this database, also: REVOKE CONNECT ON DATABASE ... FROM PUBLIC;
REVOKE ALL ON SCHEMA {catalog}, {connector} FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA {catalog}, {connector} FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    IF to_regnamespace('public') IS NOT NULL
        AND has_schema_privilege('public', 'public', 'CREATE')
    THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    END IF;
END $$;

-- 4. The rights of each role. A pipeline stages a shop in temporary tables.
DO $$ BEGIN
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO {owner}, {pipeline}, {reader}, {requester}, {monitor}',
        current_database()
    );
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {pipeline}', current_database());
END $$;
GRANT USAGE ON SCHEMA {catalog} TO {pipeline}, {reader};
GRANT USAGE ON SCHEMA {connector} TO {pipeline}, {requester}, {monitor};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {catalog} GRANT SELECT ON TABLES TO {reader};
GRANT SELECT ON ALL TABLES IN SCHEMA {catalog} TO {reader};
DO $$ BEGIN
    -- Tables that are not there yet get their grants from the migration that makes them.
{tables}END $$;

-- 5. For a superuser: nobody but us takes advisory locks in this database. A reader who took ours
--    would hold up syncs. Other programs that take such locks here need a GRANT of their own.
DO $$ DECLARE found record; BEGIN
    IF current_setting('is_superuser') <> 'on' THEN
        RAISE WARNING 'advisory locks stay open to everybody: only a superuser can close them';
        RETURN;
    END IF;
    FOR found IN
        SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', found.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {owner}, {pipeline}', found.name);
    END LOOP;
END $$;

COMMIT;
"""

_ROLE: Final = """\
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE {role} NOLOGIN;
    END IF;
END $$;
"""

_TABLE: Final = """\
    IF to_regclass('{table}') IS NOT NULL THEN
        {grant};
    END IF;
"""

_REQUESTS: Final = (
    f"GRANT INSERT (merchant_id, platform_name, platform_shop_id, domain, sync_id, sync_type, "
    f"correlation_id) ON {CONNECTOR}.sync_requests TO {REQUESTER_ROLE}"
)
_OUTCOMES: Final = f"GRANT SELECT ON {CONNECTOR}.sync_request_outcomes TO {REQUESTER_ROLE}"


def roles_sql() -> str:
    """The SQL, with comments for the administrator. It is the same for every database."""
    names = {"owner": OWNER_ROLE, "pipeline": PIPELINE_ROLE}
    names |= {"reader": READER_ROLE, "requester": REQUESTER_ROLE, "monitor": MONITOR_ROLE}
    grants = [(table, grant.as_string(None)) for table, grant in pipeline_table_grants()] + [
        (f"{CONNECTOR}.sync_requests", _REQUESTS),
        (f"{CONNECTOR}.sync_request_outcomes", _OUTCOMES),
        (f"{CONNECTOR}.metrics", f"GRANT SELECT ON {CONNECTOR}.metrics TO {MONITOR_ROLE}"),
    ]
    return _HEAD.format(
        **names,
        catalog=CATALOG,
        connector=CONNECTOR,
        roles="".join(_ROLE.format(role=role) for role in names.values()),
        tables="".join(_TABLE.format(table=table, grant=grant) for table, grant in grants),
    )
