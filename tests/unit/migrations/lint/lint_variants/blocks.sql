--= index-not-concurrent lock-held-while-slow several-locks
DO $$ DECLARE t text; BEGIN FOR t IN SELECT unnest(ARRAY['orders','customers']) LOOP EXECUTE format('CREATE INDEX ON %I (a)', t); END LOOP; END $$;

--= index-not-concurrent
DO $$ DECLARE t text; BEGIN FOR t IN VALUES ('orders') LOOP EXECUTE format('CREATE INDEX ON %I (a)', t); END LOOP; END $$;

--= index-not-concurrent
DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM (VALUES ('orders', 'a')) v (t, c) LOOP EXECUTE format('CREATE INDEX ON %I (%I)', r.t, r.c); END LOOP; END $$;

--= column-dropped
CREATE FUNCTION f(t text, c text) RETURNS void AS $$ BEGIN EXECUTE format('ALTER TABLE %I DROP COLUMN %I', t, c); END $$ LANGUAGE plpgsql; SELECT f('orders', 'a');

--= column-dropped
CREATE FUNCTION f(t text, c text) RETURNS void AS $$ BEGIN EXECUTE format('ALTER TABLE %I DROP COLUMN %I', $1, $2); END $$ LANGUAGE plpgsql; DO $$ BEGIN PERFORM f(c => 'a', t => 'orders'); END $$;

--= column-dropped
CREATE PROCEDURE f(t regclass DEFAULT 'orders') AS $$ BEGIN EXECUTE format('ALTER TABLE %s DROP COLUMN a', t); END $$ LANGUAGE plpgsql; CALL f();

--= column-dropped
DO $$ DECLARE q text; BEGIN SELECT 'ALTER TABLE orders DROP COLUMN a' INTO q; EXECUTE q; END $$;

--= column-dropped
DO $$ DECLARE q text; BEGIN q = 'ALTER TABLE orders '; q := q || 'DROP COLUMN a'; EXECUTE q; END $$;

--= column-dropped
DO $$ DECLARE q constant text := 'DROP COLUMN'; BEGIN EXECUTE 'ALTER TABLE orders ' || q || ' a'; END $$;

--= column-dropped
DO $$ BEGIN CASE WHEN true THEN ALTER TABLE orders DROP COLUMN a; ELSE NULL; END CASE; END $$;

--= column-dropped
DO $$ BEGIN BEGIN ALTER TABLE orders DROP COLUMN a; EXCEPTION WHEN undefined_column THEN RAISE NOTICE 'x'; END; END $$;

--= column-dropped
DO $$ BEGIN EXECUTE replace('ALTER TABLE orders DROP COLUMN X', 'X', 'a'); END $$;

--= column-dropped
DO $$ BEGIN EXECUTE CASE WHEN true THEN 'ALTER TABLE orders DROP COLUMN a' ELSE 'SELECT 1' END; END $$;

--= column-dropped
DO $$ BEGIN EXECUTE concat_ws(' ', 'ALTER TABLE orders', 'DROP COLUMN a'); END $$;

--= column-dropped
CREATE FUNCTION a() RETURNS void LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE orders DROP COLUMN a; END $$; CREATE FUNCTION b() RETURNS void LANGUAGE sql AS $$ SELECT a() $$; SELECT b();

--= column-dropped
CREATE FUNCTION a() RETURNS void LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE orders DROP COLUMN a; END $$; DO $$ DECLARE x int; BEGIN x := (SELECT 1 FROM a()); END $$;

--= column-dropped
CREATE FUNCTION a() RETURNS int LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE orders DROP COLUMN a; RETURN 1; END $$; DO $$ DECLARE x int; BEGIN x := a(); END $$;

--= column-dropped
CREATE FUNCTION a() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE orders DROP COLUMN a; RETURN true; END $$; DO $$ BEGIN IF a() THEN RAISE NOTICE 'x'; END IF; END $$;

--= column-dropped
CREATE FUNCTION a() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE orders DROP COLUMN a; RETURN true; END $$; INSERT INTO log VALUES (a());

--= column-dropped
CREATE FUNCTION a() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE orders DROP COLUMN a; RETURN true; END $$; CREATE TABLE x AS SELECT a();

--= dynamic-sql
DO $$ DECLARE r record; BEGIN FOR r IN SELECT conname FROM pg_constraint LOOP EXECUTE 'ALTER TABLE ' || r.conname || ' DROP CONSTRAINT x'; END LOOP; END $$;

--= silent
CREATE FUNCTION f(t text) RETURNS void AS $$ BEGIN EXECUTE format('ALTER TABLE %I ALTER a SET STATISTICS 5', t); END $$ LANGUAGE plpgsql; SELECT f('orders');

--= silent
CREATE FUNCTION f(t text) RETURNS void AS $$ BEGIN EXECUTE format('ALTER TABLE %I DROP COLUMN a', t); END $$ LANGUAGE plpgsql;

--= silent
DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM pg_class; IF n > 5 THEN RAISE EXCEPTION 'x'; END IF; END $$;

--= silent
DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'app') THEN CREATE ROLE app NOLOGIN; END IF; END $$;

--= silent
DO $$ BEGIN CREATE TYPE mood AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL; END $$;

--= silent
DO $$ DECLARE r record; BEGIN FOR r IN SELECT 1 LOOP RAISE NOTICE '%', r; END LOOP; PERFORM pg_notify('x', 'y'); END $$;

--= silent
DO $$ BEGIN EXECUTE 'SELECT 1'; EXECUTE format('COMMENT ON TABLE %I IS %L', 'orders', 'x''y'); END $$;

--= silent
DO $$ BEGIN EXECUTE 'SET LOCAL statement_timeout = ' || quote_literal('5s'); END $$;

--= lock-timeout-missing
RESET lock_timeout; DO $$ BEGIN EXECUTE 'ALTER TABLE orders ADD COLUMN a int'; END $$;

--= silent
RESET lock_timeout; DO $$ BEGIN SET LOCAL lock_timeout = '1s'; ALTER TABLE orders ADD COLUMN a int; END $$;

--= silent
RESET lock_timeout; DO $$ BEGIN PERFORM set_config('lock_timeout', '1s', true); ALTER TABLE orders ADD COLUMN a int; END $$;

--= security-definer-search-path
CREATE OR REPLACE FUNCTION "F"() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;

--= silent
CREATE FUNCTION f() RETURNS int SECURITY INVOKER LANGUAGE sql AS 'SELECT 1';

--= security-definer-search-path
ALTER FUNCTION f() SECURITY DEFINER;

--= silent
ALTER FUNCTION f() SET search_path = '';

--= silent
CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f();

--= silent
CREATE PUBLICATION p FOR TABLE orders;

--= silent
CREATE TABLE c (LIKE orders INCLUDING ALL);

--= silent
CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int); CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq); CREATE CAST (int AS text) WITH INOUT; CREATE COLLATION x FROM "C"; CREATE TEXT SEARCH CONFIGURATION c (COPY = simple); CREATE SEQUENCE s;

--= silent
SET search_path = x; SET ROLE app; RESET ROLE; SET TIME ZONE 'UTC'; SHOW all; NOTIFY x; CHECKPOINT;

--= silent
CREATE FOREIGN TABLE ft (a int) SERVER s; CREATE SERVER s FOREIGN DATA WRAPPER w; IMPORT FOREIGN SCHEMA p FROM SERVER s INTO q;

--= silent
SAVEPOINT a; INSERT INTO orders VALUES (1); ROLLBACK TO a; RELEASE a;

--= row-security-dropped
DROP POLICY a ON orders; DROP POLICY b ON orders;

--= policy-on-hot-table row-security-dropped
DROP POLICY a ON orders; CREATE POLICY a ON orders USING (true);

--= view-past-row-security
CREATE TABLE n (id bigint PRIMARY KEY, o uuid); ALTER TABLE n ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON n USING (o IS NOT NULL); CREATE OR REPLACE VIEW "V" WITH (security_invoker = off) AS SELECT * FROM public.n;

--= uniqueness-dropped
CREATE TABLE n (id bigint PRIMARY KEY, a int, CONSTRAINT u UNIQUE (a));
-- 2.sql
SET lock_timeout = '1s';
ALTER TABLE n DROP CONSTRAINT u;

--= name-too-long
ALTER TABLE orders ADD COLUMN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa int;

--= database-dropped
DROP DATABASE IF EXISTS "X";

--= char-column
ALTER TABLE orders ADD COLUMN c char;

--= char-column
CREATE TABLE t (id bigint PRIMARY KEY, "C" CHARACTER(3) NOT NULL);

--= silent
CREATE TABLE t (id bigint PRIMARY KEY, c "char", d varchar(3));

--= silent
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM orders; RETURN 1; END $$; ALTER TABLE orders ALTER a SET DEFAULT f();

--= lock-held-while-slow unbatched-delete volatile-default
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM orders; RETURN 1; END $$; ALTER TABLE orders ADD a int DEFAULT f();
