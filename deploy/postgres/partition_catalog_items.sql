-- Splits catalog.catalog_items into 32 partitions by the hash of the shop. docs/deploying.md,
-- Postgres in production, says when this is worth while. Run it once, as the owner of the table:
--
--     psql -v ON_ERROR_STOP=1 -f partition_catalog_items.sql DATABASE
--
-- It is one transaction, and needs room for a second copy. Readers go on reading until its last
-- moment. Publishes wait meanwhile, fail after their bounds as DatabaseUnavailable, and are tried
-- again: pause the schedules before. The old table stays as catalog.catalog_items_plain until you
-- drop it.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '30s';
SET LOCAL statement_timeout = 0;
LOCK TABLE catalog.catalog_items IN SHARE ROW EXCLUSIVE MODE;

CREATE TABLE catalog.catalog_items_partitioned (
    LIKE catalog.catalog_items
    INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS INCLUDING STORAGE
) PARTITION BY HASH (platform_name, domain);

DO $$
BEGIN
    FOR number IN 0..31 LOOP
        EXECUTE format(
            'CREATE TABLE catalog.catalog_items_%s PARTITION OF catalog.catalog_items_partitioned'
            ' FOR VALUES WITH (MODULUS 32, REMAINDER %s)', number, number);
    END LOOP;
END $$;

INSERT INTO catalog.catalog_items_partitioned SELECT * FROM catalog.catalog_items;

DO $$
DECLARE
    plain CONSTANT regclass := 'catalog.catalog_items';
    split CONSTANT regclass := 'catalog.catalog_items_partitioned';
    readers_view CONSTANT text := pg_get_viewdef('catalog.available_items');
    owner CONSTANT text := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = plain);
    each record;
BEGIN
    -- The same indexes under the same names, the primary key by its constraint.
    FOR each IN
        SELECT indexes.relname AS name, pg_get_indexdef(indexes.oid) AS definition,
            pg_get_constraintdef(keys.oid) AS key
        FROM pg_index JOIN pg_class AS indexes ON indexes.oid = indexrelid
            LEFT JOIN pg_constraint AS keys ON keys.conindid = indexrelid
        WHERE indrelid = plain
    LOOP
        EXECUTE format('ALTER INDEX catalog.%I RENAME TO %I', each.name, each.name || '_plain');
        IF each.key IS NULL THEN
            EXECUTE replace(each.definition, ' ON catalog.catalog_items ',
                ' ON catalog.catalog_items_partitioned ');
        ELSE
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', split, each.name, each.key);
        END IF;
    END LOOP;
    EXECUTE format('COMMENT ON TABLE %s IS %L', split, obj_description(plain, 'pg_class'));
    EXECUTE format('ALTER TABLE %s OWNER TO %I', split, owner);
    FOR each IN
        SELECT privilege_type AS may,
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS who
        FROM pg_class, aclexplode(relacl) WHERE oid = plain
    LOOP
        EXECUTE format('GRANT %s ON %s TO %s', each.may, split, each.who);
    END LOOP;
    ALTER TABLE catalog.catalog_items RENAME TO catalog_items_plain;
    ALTER TABLE catalog.catalog_items_partitioned RENAME TO catalog_items;
    -- The view would go on showing the old table.
    EXECUTE 'CREATE OR REPLACE VIEW catalog.available_items AS ' || readers_view;
END $$;
COMMIT;
ANALYZE catalog.catalog_items;
