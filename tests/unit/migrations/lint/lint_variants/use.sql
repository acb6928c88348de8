--= several-locks table-dropped
ALTER TABLE "A" ADD x int; DROP TABLE IF EXISTS "S"."B";

--= index-not-concurrent lock-held-while-slow several-locks
ALTER TABLE a ADD x int; CREATE INDEX i ON b (x);

--= several-locks
ALTER TABLE a ADD x int; ALTER TABLE b ADD CONSTRAINT c CHECK (x > 0) NOT VALID;

--= several-locks
DO $$ BEGIN ALTER TABLE a ADD x int; ALTER TABLE b ADD x int; END $$;

--= explicit-lock several-locks
LOCK TABLE a, b IN ACCESS EXCLUSIVE MODE;

--= silent
ALTER TABLE a ADD x int; ALTER TABLE a ADD y int;

--= silent
ALTER TABLE a ADD x int; ALTER TABLE public.a ADD y int; ALTER TABLE "a" ADD z int;

--= silent
CREATE TABLE n (id bigint PRIMARY KEY); ALTER TABLE n ADD x int; ALTER TABLE a ADD y int;

--= silent
ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES customers (id) NOT VALID;

--= silent
CREATE TABLE n (id bigint PRIMARY KEY, c bigint REFERENCES customers, d bigint); CREATE INDEX ON n (c);

--= lock-timeout-missing
RESET lock_timeout; ALTER TABLE orders ADD x int;

--= lock-timeout-missing
SET lock_timeout = 0; ALTER TABLE orders ADD x int;

--= lock-timeout-missing
SET lock_timeout TO DEFAULT; ALTER TABLE orders ADD x int;

--= silent
SET LOCAL lock_timeout TO '100ms'; ALTER TABLE orders ADD x int;

--= silent
SELECT set_config('lock_timeout', '2s', true); ALTER TABLE orders ADD x int;

--= lock-timeout-missing
RESET ALL; DO $$ BEGIN ALTER TABLE orders ADD x int; END $$;

--= lock-timeout-missing
-- 2.sql
ALTER TABLE orders ADD x int;

--= column-renamed
ALTER TABLE IF EXISTS ONLY "S"."Orders" RENAME COLUMN "A" TO b;

--= column-renamed
DO $$ BEGIN ALTER TABLE orders RENAME COLUMN a TO b; END $$;

--= column-renamed
DO $$ BEGIN IF EXISTS (SELECT 1 FROM information_schema.columns WHERE column_name='a') THEN EXECUTE 'ALTER TABLE orders RENAME a TO b'; END IF; END $$;

--= column-renamed
ALTER MATERIALIZED VIEW mv RENAME COLUMN a TO b;

--= table-renamed
ALTER TABLE orders RENAME TO "Old";

--= table-renamed
ALTER VIEW v RENAME TO w;

--= table-renamed
ALTER FOREIGN TABLE f RENAME TO g;

--= schema-changed
ALTER TABLE IF EXISTS public.orders SET SCHEMA archive;

--= schema-changed
ALTER VIEW v SET SCHEMA archive;

--= schema-changed
ALTER FUNCTION f(int) SET SCHEMA archive;

--= schema-changed
ALTER TYPE t SET SCHEMA archive;

--= object-renamed
ALTER TYPE mood RENAME TO m;

--= object-renamed
ALTER SCHEMA s RENAME TO m;

--= silent
ALTER TABLE orders RENAME CONSTRAINT "A" TO b;

--= silent
ALTER TRIGGER t ON orders RENAME TO u;

--= column-dropped
ALTER TABLE ONLY orders DROP COLUMN IF EXISTS "A" RESTRICT, ADD b int;

--= column-dropped
ALTER FOREIGN TABLE ft DROP COLUMN a;

--= table-dropped
DROP TABLE "S"."T" CASCADE;

--= table-dropped
DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY ARRAY['a'] LOOP EXECUTE 'DROP TABLE IF EXISTS ' || quote_ident(t) || ' CASCADE'; END LOOP; END $$;

--= object-dropped
DROP FUNCTION IF EXISTS public.f;

--= object-dropped
DROP AGGREGATE a(int);

--= object-dropped
DROP MATERIALIZED VIEW mv;

--= object-dropped
DROP SEQUENCE s;

--= object-dropped
DROP DOMAIN d;

--= object-dropped
DROP EXTENSION pgcrypto;

--= silent
DROP TRIGGER t ON orders;

--= silent
-- phase: contract
ALTER TABLE orders DROP COLUMN a;

--= silent
CREATE TABLE x (id bigint PRIMARY KEY, a int); ALTER TABLE x DROP COLUMN a; ALTER TABLE x RENAME id TO b; DROP TABLE x;

--= enum-value-renamed
ALTER TYPE "S"."Mood" RENAME VALUE 'a' TO 'b';

--= enum-value-used-early
ALTER TYPE mood ADD VALUE 'x'; INSERT INTO t VALUES ('x');

--= enum-value-used-early
ALTER TYPE mood ADD VALUE IF NOT EXISTS 'x' AFTER 'a'; UPDATE orders SET m = 'x'::mood WHERE id = 1;

--= enum-value-used-early
ALTER TYPE mood ADD VALUE 'x'; DO $$ BEGIN INSERT INTO t VALUES ('x'); END $$;

--= silent
ALTER TYPE mood ADD VALUE 'x';
-- 2.sql
INSERT INTO t VALUES ('x');

--= object-dropped
DROP TYPE mood;

--= catalog-written
DELETE FROM pg_enum WHERE enumlabel = 'x';

--= required-column
ALTER TABLE orders ADD COLUMN "A" uuid NOT NULL, ADD b int;

--= constraint-builds-index required-column
ALTER TABLE orders ADD COLUMN a bigint PRIMARY KEY;

--= silent
ALTER TABLE orders ADD COLUMN a int NOT NULL DEFAULT 0;

--= type-change-rewrites type-narrowed
CREATE TABLE q (id bigint PRIMARY KEY, a varchar(50));
-- 2.sql
SET lock_timeout = '1s';
ALTER TABLE q ALTER a TYPE varchar(20);

--= silent
ALTER TABLE orders ADD COLUMN a varchar(20);
-- 2.sql
SET lock_timeout = '1s';
ALTER TABLE orders ALTER a TYPE varchar(50);
-- 3.sql
SET lock_timeout = '1s';
ALTER TABLE orders ALTER a TYPE text;
-- 4.sql
SET lock_timeout = '1s';
ALTER TABLE orders ALTER a TYPE varchar;

--= silent
ALTER TABLE orders ADD COLUMN a numeric(10,2);
-- 2.sql
SET lock_timeout = '1s';
ALTER TABLE orders ALTER a TYPE numeric(12,2);
-- 3.sql
SET lock_timeout = '1s';
ALTER TABLE orders ALTER a TYPE numeric;

--= type-change-rewrites
ALTER TABLE orders ADD COLUMN a numeric(10,2);
-- 2.sql
SET lock_timeout = '1s';
ALTER TABLE orders ALTER a TYPE numeric(12,4);

--= type-change-rewrites type-narrowed
ALTER TABLE orders ADD COLUMN a bigint;
-- 2.sql
SET lock_timeout = '1s';
ALTER TABLE orders ALTER a TYPE int;

--= type-change-rewrites type-narrowed
ALTER TABLE orders ADD COLUMN a text;
-- 2.sql
SET lock_timeout = '1s';
ALTER TABLE orders ALTER a TYPE varchar(10);

--= type-change-rewrites type-narrowed
ALTER TABLE orders ADD COLUMN a timestamptz;
-- 2.sql
SET lock_timeout = '1s';
ALTER TABLE orders ALTER a TYPE date;

--= silent
ALTER TABLE orders ADD COLUMN a timestamptz(3);
-- 2.sql
SET lock_timeout = '1s';
ALTER TABLE orders ALTER a TYPE timestamptz;

--= type-change-rewrites type-narrowed
DO $$ BEGIN ALTER TABLE orders ADD COLUMN a text; END $$;
-- 2.sql
SET lock_timeout = '1s';
ALTER TABLE orders ALTER a TYPE int USING a::int;

--= json-column
ALTER TABLE orders ADD COLUMN "J" JSON DEFAULT '{}';

--= json-column
CREATE TABLE public.t (id bigint PRIMARY KEY, j pg_catalog.json);

--= json-column
DO $$ BEGIN CREATE TABLE t (id bigint PRIMARY KEY, j json); END $$;

--= silent
CREATE TABLE t (id bigint PRIMARY KEY, "json" jsonb);

--= timestamp-without-zone
CREATE TABLE t (id bigint PRIMARY KEY, "at" timestamp without time zone DEFAULT now());

--= timestamp-without-zone
ALTER TABLE orders ADD COLUMN IF NOT EXISTS "at" TIMESTAMP(6);

--= timestamp-without-zone
ALTER TABLE orders ADD COLUMN IF NOT EXISTS "at" timestamp[];

--= silent
CREATE TABLE t (id bigint PRIMARY KEY, "timestamp" timestamp with time zone, d date, e time);

--= integer-key
CREATE TABLE t ("Id" SERIAL PRIMARY KEY);

--= integer-key
CREATE TABLE t (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY);

--= integer-key
CREATE TABLE t (id int4 NOT NULL, CONSTRAINT p PRIMARY KEY (id));

--= integer-key
CREATE TABLE t (id int DEFAULT nextval('s') NOT NULL);

--= integer-key
CREATE TABLE t (id smallint PRIMARY KEY);

--= silent
CREATE TABLE t (id bigserial PRIMARY KEY, n int NOT NULL);

--= silent
CREATE TABLE t (a int, b bigint, PRIMARY KEY (a, b));

--= truncate
TRUNCATE "S"."T";

--= truncate
DO $$ BEGIN TRUNCATE TABLE orders RESTART IDENTITY CASCADE; END $$;

--= truncate
DO $$ BEGIN EXECUTE format('TRUNCATE %I.%I', 'shop', 'orders'); END $$;

--= several-locks truncate
TRUNCATE a, b;

--= silent
CREATE TEMPORARY TABLE x (a int); TRUNCATE x;

--= silent
CREATE TEMP TABLE x AS SELECT id FROM orders LIMIT 10; CREATE INDEX ON x (id); UPDATE x SET id = 1; DELETE FROM x;

--= silent
CREATE TEMP TABLE x (a json, b timestamp, c serial);
