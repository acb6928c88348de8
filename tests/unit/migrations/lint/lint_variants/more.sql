--= silent
CREATE TABLE a (id bigint PRIMARY KEY, b bigint); CREATE TABLE c (id bigint PRIMARY KEY, a_id bigint REFERENCES a (id)); CREATE INDEX ON c (a_id); ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c (id); CREATE INDEX ON a (b);

--= index-not-concurrent
CREATE TABLE IF NOT EXISTS other (id bigint PRIMARY KEY); CREATE INDEX i ON orders (a);

--= column-dropped
ALTER TABLE ONLY "public"."orders" DROP "a";

--= check-scans not-null-scans
ALTER TABLE orders ADD CONSTRAINT c CHECK (a > 0), ALTER b SET NOT NULL;

--= check-scans constraint-builds-index foreign-key-without-index required-column
ALTER TABLE orders ADD COLUMN x bigint NOT NULL CHECK (x > 0) REFERENCES c (id), ADD COLUMN y int UNIQUE;

--= constraint-builds-index volatile-default
ALTER TABLE orders ADD COLUMN x uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE;

--= constraint-builds-index volatile-default
ALTER TABLE orders ADD COLUMN x uuid DEFAULT gen_random_uuid() PRIMARY KEY;

--= check-scans
ALTER TABLE orders ADD COLUMN x int DEFAULT 5 CHECK (x > 0);

--= integer-key numbered-column-added
ALTER TABLE orders ADD COLUMN x int GENERATED ALWAYS AS IDENTITY;

--= constraint-builds-index integer-key numbered-column-added
ALTER TABLE orders ADD COLUMN x serial PRIMARY KEY;

--= timestamp-without-zone type-change-rewrites
ALTER TABLE orders ALTER x TYPE timestamp;

--= json-column type-change-rewrites
ALTER TABLE orders ALTER x TYPE json USING x::json;

--= type-change-rewrites type-narrowed
CREATE TABLE q (id bigint PRIMARY KEY);
-- 2.sql
SET lock_timeout = '1s';
ALTER TABLE q ALTER id TYPE int;

--= not-null-scans
ALTER TABLE orders ALTER a SET NOT NULL, ADD CONSTRAINT x CHECK (true) NOT VALID;

--= constraint-builds-index
DO $$ BEGIN ALTER TABLE orders ADD CONSTRAINT u UNIQUE (a); EXCEPTION WHEN duplicate_table THEN NULL; END $$;

--= storage-moved
DO $$ BEGIN EXECUTE 'ALTER TABLE orders SET TABLESPACE fast'; END $$;

--= storage-moved
ALTER TABLE orders SET WITHOUT CLUSTER, SET ACCESS METHOD heap;

--= silent
ALTER TABLE orders SET WITHOUT CLUSTER;

--= silent
ALTER TABLE orders ENABLE TRIGGER t, ENABLE ALWAYS TRIGGER u;

--= trigger-disabled
ALTER TABLE "S"."T" DISABLE TRIGGER USER, ADD COLUMN x int;

--= silent
ALTER TABLE orders INHERIT base;

--= silent
CREATE TABLE kid () INHERITS (orders);

--= refresh-not-concurrent
REFRESH MATERIALIZED VIEW "S"."V";

--= object-dropped
DROP MATERIALIZED VIEW IF EXISTS "S"."V" CASCADE;

--= table-dropped
DROP FOREIGN TABLE ft;

--= object-dropped
DROP SCHEMA IF EXISTS s;

--= object-dropped
DROP FUNCTION f(int), g(text);

--= silent
DROP VIEW v; CREATE VIEW v AS SELECT 1;

--= silent
DROP TRIGGER t ON orders; CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION f();

--= trigger-on-hot-table
CREATE TRIGGER t INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION f();

--= silent
CREATE TABLE n (id bigint PRIMARY KEY); ALTER TABLE n ENABLE ROW LEVEL SECURITY; ALTER TABLE n FORCE ROW LEVEL SECURITY; CREATE POLICY p ON n USING (id = 1); REVOKE ALL ON n FROM PUBLIC; GRANT SELECT ON n TO app; COMMENT ON TABLE n IS 'x';

--= grant-widened
CREATE TABLE n (id bigint PRIMARY KEY); GRANT SELECT ON n TO PUBLIC;

--= grant-widened
CREATE TABLE n (id bigint PRIMARY KEY); GRANT ALL ON ALL TABLES IN SCHEMA public TO app;

--= grant-widened
GRANT USAGE ON SEQUENCE s TO PUBLIC;

--= silent
GRANT USAGE, SELECT ON SEQUENCE s TO app;

--= silent
GRANT EXECUTE ON FUNCTION f() TO app;

--= grant-widened
GRANT app TO CURRENT_USER;

--= unbatched-update
UPDATE orders SET a = b WHERE id > 0;

--= unbatched-update
UPDATE orders SET a = b WHERE id <= 1000;

--= silent
UPDATE orders SET a = b WHERE id > 0 AND id <= 1000 AND a IS DISTINCT FROM b;

--= unbatched-update
UPDATE orders SET a = 1 WHERE a IN (SELECT b FROM c WHERE c.id BETWEEN 1 AND 100);

--= unbatched-update
UPDATE orders SET a = c.a FROM c WHERE c.id = orders.cid AND c.id BETWEEN 1 AND 100;

--= silent
UPDATE orders SET a = c.a FROM c WHERE c.id = orders.cid AND orders.id BETWEEN 1 AND 100;

--= unbatched-delete
DELETE FROM orders WHERE created_at < '2020-01-01';

--= unbatched-delete
DELETE FROM orders WHERE id NOT IN (SELECT id FROM keep);

--= unbatched-insert
INSERT INTO a (x) SELECT o.x FROM orders o JOIN c ON c.id = o.cid WHERE NOT EXISTS (SELECT 1 FROM a WHERE a.x = o.x);

--= unbatched-insert
CREATE TABLE orders_new (LIKE orders); INSERT INTO orders_new SELECT * FROM orders;

--= silent
INSERT INTO a (x) SELECT 1 UNION SELECT 2;

--= silent
INSERT INTO a (x) SELECT id FROM (VALUES (1),(2)) AS v(id) ON CONFLICT DO NOTHING;

--= silent
INSERT INTO a (x) SELECT * FROM jsonb_to_recordset('[]') AS t(x int);

--= silent
CREATE TABLE s AS SELECT 1 AS x; INSERT INTO a SELECT x FROM s;

--= explicit-lock several-locks
ALTER TABLE a ADD x int; LOCK TABLE b IN SHARE MODE;

--= explicit-lock lock-held-while-slow
LOCK TABLE a IN SHARE ROW EXCLUSIVE MODE; SELECT count(*) FROM b;

--= several-locks
BEGIN; ALTER TABLE a ADD x int; SAVEPOINT s; ALTER TABLE b ADD x int; COMMIT;

--= silent
ALTER TABLE a ADD x int; SELECT 1; SELECT now(); SELECT set_config('a.b', 'c', true); SELECT pg_catalog.setval('s', 1);

--= enum-value-used-early
ALTER TYPE mood ADD VALUE 'x'; ALTER TABLE t ADD COLUMN m mood DEFAULT 'x';

--= silent
ALTER TYPE mood ADD VALUE 'x'; INSERT INTO t VALUES ('y');

--= json-column
CREATE TABLE n AS SELECT '{}'::json AS x;

--= partition-attached-scans
ALTER TABLE ONLY e ATTACH PARTITION e1 DEFAULT;

--= partition-detached
ALTER TABLE "S".e DETACH PARTITION "S".e1;

--= concurrently-in-transaction
BEGIN; ALTER TABLE e DETACH PARTITION e1 CONCURRENTLY; COMMIT;

--= concurrently-in-transaction
BEGIN; REFRESH MATERIALIZED VIEW CONCURRENTLY v; VACUUM orders; COMMIT;

--= silent
BEGIN; REFRESH MATERIALIZED VIEW CONCURRENTLY v; COMMIT;
