--= unbatched-update
UPDATE ONLY "S"."Orders" AS o SET a = 1;

--= unbatched-update
UPDATE orders SET a = 1 WHERE a IS NULL;

--= unbatched-update
UPDATE orders SET a = 1 WHERE true;

--= unbatched-update
UPDATE orders SET a = 1 WHERE id IS NOT NULL;

--= unbatched-update
UPDATE orders SET a = 1 WHERE created_at < now() - interval '1 day';

--= unbatched-update
UPDATE orders SET a = s.a FROM (SELECT id, a FROM other) s WHERE s.id = orders.id;

--= unbatched-update
INSERT INTO x (a) SELECT 1; UPDATE orders SET a = lower(b);

--= unbatched-update
UPDATE orders SET (a, b) = (SELECT c, d FROM c WHERE c.id = orders.cid);

--= unbatched-update
UPDATE orders SET a = 1 WHERE id IN (SELECT id FROM orders WHERE a IS NULL);

--= unbatched-update
PREPARE p AS UPDATE orders SET a = 1; EXECUTE p;

--= unbatched-update
DO $$ DECLARE n int; BEGIN UPDATE orders SET a = 1; GET DIAGNOSTICS n = ROW_COUNT; END $$;

--= unbatched-update
DO $$ BEGIN EXECUTE 'UPDATE orders SET a = $1' USING 1; END $$;

--= unbatched-update
CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN UPDATE orders SET a = 1; END $$; CALL p();

--= unbatched-update
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ UPDATE orders SET a = 1; SELECT 1 $$; SELECT f();

--= unbatched-update
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ UPDATE orders SET a = 1; SELECT 1 $$; SELECT public.f() FROM generate_series(1, 1);

--= unbatched-delete
DELETE FROM ONLY "Orders";

--= unbatched-delete
DELETE FROM orders WHERE deleted = true;

--= unbatched-delete
DELETE FROM orders a USING orders b WHERE a.id < b.id AND a.email = b.email;

--= unbatched-delete
WITH old AS (SELECT id FROM orders WHERE x) DELETE FROM orders WHERE id IN (SELECT id FROM old);

--= unbatched-delete
DO $$ BEGIN DELETE FROM orders WHERE x; END $$;

--= silent
DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE x ORDER BY id LIMIT 1000);

--= silent
DELETE FROM orders WHERE "orders"."id" = ANY ('{1,2,3}'::bigint[]);

--= silent
UPDATE orders SET a = 1 FROM (SELECT id FROM orders WHERE a IS NULL LIMIT 1000 FOR UPDATE SKIP LOCKED) s WHERE s.id = orders.id;

--= silent
UPDATE orders SET a = 1 WHERE id >= 1 AND 1000 >= id;

--= silent
UPDATE orders SET a = 1 WHERE id > 5 AND id < 5 + 1000;

--= silent
UPDATE orders SET a = 1 WHERE id = '0b7e7dba-9a33-4f6f-a3b5-0b6e4d6c1f00'::uuid;

--= silent
UPDATE orders SET a = 1 WHERE id = ANY (ARRAY(SELECT id FROM orders WHERE a IS NULL LIMIT 100));

--= silent
UPDATE orders SET a = 1 WHERE id IN (SELECT id FROM orders WHERE a IS NULL FETCH FIRST 100 ROWS ONLY);

--= silent
UPDATE orders SET a = 1 WHERE EXISTS (SELECT 1 FROM b WHERE b.id = orders.id) AND id BETWEEN 1 AND 100;

--= silent
CREATE TABLE n (id bigint PRIMARY KEY, a int); INSERT INTO n VALUES (1, 2); UPDATE n SET a = 1; DELETE FROM n;

--= unbatched-insert
INSERT INTO archive SELECT * FROM orders WHERE x;

--= unbatched-insert
CREATE TABLE n (id bigint PRIMARY KEY); INSERT INTO n (id) SELECT id FROM orders;

--= unbatched-insert
INSERT INTO archive TABLE orders;

--= unbatched-insert
INSERT INTO archive WITH x AS (SELECT * FROM orders) SELECT * FROM x;

--= silent
INSERT INTO n SELECT g FROM generate_series(1, 10) g;

--= silent
INSERT INTO n SELECT * FROM (VALUES (1), (2)) v (a) WHERE NOT EXISTS (SELECT 1 FROM n WHERE n.a = v.a);

--= silent
INSERT INTO n SELECT unnest(ARRAY[1,2,3]);

--= silent
INSERT INTO n SELECT id FROM orders WHERE id = 5;

--= silent
INSERT INTO n SELECT id FROM orders WHERE id BETWEEN 5 AND 1000;

--= concurrently-in-transaction
BEGIN; DROP INDEX CONCURRENTLY i; COMMIT;

--= concurrently-in-transaction
BEGIN; ALTER TABLE e DETACH PARTITION p CONCURRENTLY; COMMIT;

--= concurrently-in-transaction system-setting-changed
BEGIN; ALTER SYSTEM SET work_mem = '1MB'; COMMIT;

--= concurrently-in-transaction
DO $$ BEGIN EXECUTE 'CREATE INDEX CONCURRENTLY i ON orders (a)'; END $$;

--= concurrently-in-transaction
DO $$ BEGIN CREATE INDEX CONCURRENTLY i ON orders (a); END $$;

--= concurrently-in-transaction
BEGIN; CREATE DATABASE x; COMMIT;

--= concurrently-in-transaction
CREATE TABLE n (id bigint PRIMARY KEY); CREATE INDEX CONCURRENTLY ON n (id);

--= concurrently-beside-others
DROP INDEX CONCURRENTLY IF EXISTS i; CREATE INDEX CONCURRENTLY i ON orders (a); CREATE UNIQUE INDEX CONCURRENTLY j ON orders (b);

--= silent
DROP INDEX CONCURRENTLY IF EXISTS "I"; CREATE UNIQUE INDEX CONCURRENTLY "I" ON public.orders (a);

--= invalid-index-hidden
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "I" ON "S".orders (a);

--= silent
DROP INDEX CONCURRENTLY IF EXISTS i; CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON orders (a);

--= concurrently-beside-others invalid-index-hidden
DROP INDEX CONCURRENTLY IF EXISTS j; CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON orders (a);

--= drop-index-not-concurrent
DROP INDEX "public"."I";

--= drop-index-not-concurrent
DO $$ BEGIN DROP INDEX IF EXISTS i; END $$;

--= silent
DROP INDEX CONCURRENTLY i;

--= silent
CREATE TABLE n (id bigint PRIMARY KEY); CREATE INDEX ni ON n (id); DROP INDEX ni;

--= trigger-on-hot-table
CREATE OR REPLACE TRIGGER "T" BEFORE INSERT OR UPDATE ON "S"."Orders" FOR EACH ROW EXECUTE PROCEDURE f();

--= trigger-on-hot-table
DO $$ BEGIN CREATE TRIGGER t AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION f(); END $$;

--= several-locks trigger-on-hot-table
DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY ARRAY['orders', 'b'] LOOP EXECUTE format('CREATE TRIGGER x BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION f()', t); END LOOP; END $$;

--= trigger-on-hot-table
CREATE RULE r AS ON INSERT TO orders DO ALSO NOTHING;

--= silent
CREATE TABLE n (id bigint PRIMARY KEY); CREATE TRIGGER t AFTER DELETE ON n FOR EACH ROW EXECUTE FUNCTION f();

--= trigger-disabled
ALTER TABLE public.orders DISABLE TRIGGER "T";

--= trigger-disabled
ALTER TABLE orders DISABLE TRIGGER ALL;

--= trigger-disabled
SET session_replication_role = replica;

--= row-security-dropped
ALTER TABLE IF EXISTS "S"."Orders" DISABLE ROW LEVEL SECURITY;

--= row-security-dropped
DO $$ BEGIN EXECUTE 'ALTER TABLE orders DISABLE ROW LEVEL SECURITY'; END $$;

--= row-security-dropped
DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY ARRAY['a'] LOOP EXECUTE format('DROP POLICY %I ON %I', 'p', t); END LOOP; END $$;

--= row-security-dropped
ALTER TABLE orders DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;

--= policy-on-hot-table row-security-dropped
ALTER POLICY p ON orders USING (1 = 1);

--= policy-on-hot-table row-security-dropped
CREATE POLICY p ON orders FOR SELECT TO PUBLIC USING (TRUE);

--= policy-on-hot-table row-security-dropped
CREATE POLICY p ON orders FOR INSERT WITH CHECK (true);

--= policy-on-hot-table
ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON orders USING ("userId" = current_setting('app.user_id')::uuid);

--= grant-widened
GRANT SELECT ON "S"."Orders" TO PUBLIC;

--= grant-widened
grant all privileges on orders to app;

--= grant-widened
GRANT EXECUTE ON FUNCTION f(int) TO PUBLIC;

--= grant-widened
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;

--= grant-widened
GRANT CREATE ON SCHEMA public TO PUBLIC;

--= grant-widened
DO $$ BEGIN EXECUTE 'GRANT SELECT ON orders TO PUBLIC'; END $$;

--= grant-widened
DO $$ BEGIN GRANT SELECT ON orders TO PUBLIC; END $$;

--= grant-widened
ALTER DEFAULT PRIVILEGES FOR ROLE o IN SCHEMA s GRANT SELECT ON TABLES TO PUBLIC;

--= grant-widened
GRANT app TO other WITH ADMIN OPTION;

--= grant-widened
CREATE ROLE x SUPERUSER LOGIN;

--= grant-widened
ALTER USER x CREATEROLE;

--= silent
CREATE ROLE x NOLOGIN;

--= silent
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

--= silent
REVOKE GRANT OPTION FOR SELECT ON orders FROM app;

--= silent
CREATE TABLE n (id bigint PRIMARY KEY); GRANT SELECT ON n TO app;

--= explicit-lock
LOCK TABLE "S"."Orders" IN EXCLUSIVE MODE;

--= explicit-lock
DO $$ BEGIN LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; END $$;

--= silent
LOCK TABLE orders IN ACCESS SHARE MODE;

--= silent
LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE;

--= partition-attached-scans
ALTER TABLE "S"."Events" ATTACH PARTITION "S"."E25" FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');

--= silent
CREATE TABLE e25 (id bigint PRIMARY KEY, at timestamptz); ALTER TABLE events ATTACH PARTITION e25 FOR VALUES FROM (1) TO (2);

--= silent
ALTER TABLE events DETACH PARTITION e19 FINALIZE;

--= silent
CREATE TABLE e26 PARTITION OF events FOR VALUES FROM (1) TO (2);

--= silent
COMMENT ON COLUMN orders.a IS 'x'; COMMENT ON TABLE public.orders IS NULL;

--= silent
ALTER TABLE orders SET (autovacuum_vacuum_scale_factor = 0.01), RESET (fillfactor);

--= silent
ALTER TABLE orders ALTER a SET STORAGE EXTERNAL, ALTER b SET COMPRESSION pglz;

--= silent
ALTER TABLE orders REPLICA IDENTITY FULL;

--= silent
CREATE STATISTICS s ON a, b FROM orders; ALTER STATISTICS s SET STATISTICS 100;

--= silent
ALTER SEQUENCE s RESTART WITH 100; SELECT setval('s', 5);

--= silent
CREATE EXTENSION IF NOT EXISTS citext;

--= silent
CREATE SCHEMA IF NOT EXISTS "S";

--= silent
ALTER INDEX i SET (fillfactor = 70);

--= silent
CREATE VIEW v WITH (security_invoker = true) AS SELECT id FROM orders;

--= silent
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE orders SET a = 1; RETURN NEW; END $$;

--= silent
CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE n (id bigint PRIMARY KEY, m mood DEFAULT 'a');

--= silent
ALTER TABLE orders CLUSTER ON i;

--= silent
ALTER TABLE orders VALIDATE CONSTRAINT c;

--= silent
ANALYZE orders;

--= silent
SELECT pg_advisory_xact_lock(1);

--= silent
ALTER TABLE orders ALTER COLUMN a DROP IDENTITY IF EXISTS;

--= silent
ALTER TABLE orders DROP CONSTRAINT IF EXISTS c;

--= system-setting-changed
ALTER ROLE app SET work_mem = '1MB';

--= system-setting-changed
ALTER DATABASE x SET work_mem = '1MB';

--= system-setting-changed
ALTER ROLE ALL IN DATABASE x SET statement_timeout = 0;

--= silent
ALTER ROLE app PASSWORD 'x';

--= system-setting-changed
ALTER ROLE app RESET ALL;

--= system-setting-changed
ALTER DATABASE x RESET ALL;

--= silent
CREATE TEMP TABLE x (a json, b timestamp, c serial, d char(3)); ALTER TABLE x ADD COLUMN j json;

--= silent
CREATE TABLE pg_temp.x (a json, b timestamp, c serial, d char(3));

--= silent
MERGE INTO orders o USING (VALUES (1, 2)) v (id, a) ON o.id = v.id WHEN MATCHED THEN UPDATE SET a = v.a WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.a);

--= unbatched-update
MERGE INTO orders o USING (VALUES (1, 2)) v (id, a) ON o.id = v.id WHEN NOT MATCHED BY SOURCE THEN UPDATE SET a = 1;

--= silent
UPDATE orders SET a = v.a FROM (VALUES (1, 'x'), (2, 'y')) v (id, a) WHERE v.id = orders.id;

--= silent
WITH v (id, a) AS (VALUES (1, 'x')) UPDATE orders SET a = v.a FROM v WHERE v.id = orders.id;

--= silent
WITH n AS (INSERT INTO parents (x) VALUES (1) RETURNING id) INSERT INTO kids SELECT id FROM n;

--= silent
ALTER TABLE orders ADD COLUMN x int; SELECT 1 FROM orders WHERE id = 1; SELECT EXISTS (SELECT 1 FROM orders WHERE id = 4);

--= lock-held-while-slow
ALTER TABLE orders ADD COLUMN x int; SELECT EXISTS (SELECT 1 FROM orders WHERE a = 4);

--= lock-held-while-slow
ALTER TABLE orders ADD COLUMN x int; DO $$ BEGIN PERFORM count(*) FROM customers; END $$;

--= lock-held-while-slow
ALTER TABLE orders ADD COLUMN x int; DO $$ DECLARE n bigint; BEGIN SELECT count(*) INTO n FROM customers; END $$;

--= silent
ALTER TABLE orders ADD COLUMN x int; INSERT INTO settings SELECT 'a' WHERE NOT EXISTS (SELECT 1 FROM settings);

--= lock-held-while-slow unbatched-update
ALTER TABLE orders ADD COLUMN x int; DO $$ BEGIN UPDATE customers SET a = 1; END $$;

--= lock-held-while-slow
ALTER TABLE orders ADD COLUMN x int; COPY customers TO '/tmp/x';

--= lock-held-while-slow
BEGIN; ALTER TABLE orders ADD COLUMN x int; SELECT pg_sleep_for('5 minutes'); COMMIT;

--= lock-held-while-slow
BEGIN; CREATE TRIGGER t AFTER INSERT ON orders EXECUTE FUNCTION f(); SELECT count(*) FROM customers; COMMIT;

--= silent
ALTER TABLE orders VALIDATE CONSTRAINT c; SELECT count(*) FROM customers;

--= silent
SELECT count(*) FROM customers; ALTER TABLE orders ADD COLUMN x int;

--= silent
BEGIN; ALTER TABLE orders ADD COLUMN x int; COMMIT; SELECT count(*) FROM customers;

--= index-not-concurrent
CREATE INDEX ON ONLY "Ev" (a);

--= silent
CREATE TABLE p (id bigint, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2025-01-01') TO ('2026-01-01'); CREATE INDEX ON p (at); ALTER TABLE p ATTACH PARTITION p1 DEFAULT;

--= silent
CREATE TABLE p (id bigint PRIMARY KEY) PARTITION BY HASH (id); CREATE TABLE p1 (LIKE p INCLUDING ALL); ALTER TABLE p ATTACH PARTITION p1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);

--= silent
CREATE TABLE k (id bigint PRIMARY KEY, a int); ALTER TABLE k RENAME TO kk; ALTER TABLE kk ALTER a SET NOT NULL; UPDATE kk SET a = 1; CREATE INDEX ON kk (a);

--= silent
CREATE TABLE k AS TABLE orders WITH NO DATA; CREATE INDEX ON k (a); ALTER TABLE k ALTER a SET NOT NULL;

--= silent
CREATE TABLE IF NOT EXISTS k (id bigint PRIMARY KEY, a int); CREATE INDEX IF NOT EXISTS ki ON k (a);

--= silent
SELECT a, b INTO newtab FROM orders LIMIT 4; CREATE INDEX ON newtab (a);

--= integer-key json-column timestamp-without-zone
CREATE UNLOGGED TABLE x (a json, b timestamp, c serial);

--= volatile-default
ALTER TABLE orders ADD COLUMN a uuid, ADD COLUMN b uuid DEFAULT "gen_random_uuid"();

--= silent
ALTER TABLE orders ADD COLUMN a text DEFAULT ('x' || 'y')::varchar;

--= silent
ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT (now() AT TIME ZONE 'utc') NOT NULL;

--= silent
ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT localtimestamp;

--= silent
ALTER TABLE orders ADD COLUMN a bool DEFAULT false NOT NULL, ADD COLUMN b int DEFAULT COALESCE(NULL, 1), ADD c text DEFAULT session_user, ADD d jsonb DEFAULT jsonb_build_object('a', 1), ADD e text[] DEFAULT '{}', ADD f point DEFAULT point(0, 0), ADD g int DEFAULT greatest(1, 2);

--= silent
CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION public.f(int) OWNER TO app;

--= silent
CREATE TYPE mood AS ENUM ('a'); ALTER TYPE public.mood OWNER TO app; CREATE SCHEMA shop; ALTER SCHEMA shop OWNER TO app;

--= grant-widened
CREATE TYPE mood AS ENUM ('a'); ALTER TYPE public.other OWNER TO app;

--= grant-widened
ALTER FUNCTION f(int) OWNER TO app;
