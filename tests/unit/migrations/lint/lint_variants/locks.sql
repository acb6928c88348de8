--= index-not-concurrent
CrEaTe InDeX "I X" oN "S"."T t" ("a b" DESC NULLS LAST) INCLUDE (c) WHERE d IS NULL;

--= index-not-concurrent
CREATE INDEX i ON ONLY public.events USING brin (at);

--= constraint-builds-index
ALTER TABLE "public"."Orders" ADD CONSTRAINT "U" UNIQUE NULLS NOT DISTINCT ("A");

--= constraint-builds-index
ALTER TABLE orders ADD COLUMN IF NOT EXISTS code text CONSTRAINT c UNIQUE DEFERRABLE INITIALLY DEFERRED;

--= index-not-concurrent
DO $do$ BEGIN EXECUTE 'CREATE INDEX ix ON orders (a)'; END $do$;

--= index-not-concurrent
DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_indexes WHERE indexname='ix') THEN CREATE INDEX ix ON orders(a); END IF; END $$;

--= index-not-concurrent
CREATE FUNCTION mk() RETURNS void AS $$ BEGIN CREATE INDEX ix ON orders(a); END $$ LANGUAGE plpgsql; DO $$ BEGIN PERFORM mk(); END $$;

--= index-not-concurrent
CREATE OR REPLACE FUNCTION public.mk() RETURNS void AS $$ BEGIN EXECUTE 'CREATE INDEX ix ON orders(a)'; END $$ LANGUAGE plpgsql; SELECT * FROM public.mk();

--= index-not-concurrent
CREATE FUNCTION mk(t text) RETURNS void AS $$ BEGIN EXECUTE format('CREATE INDEX ON %I (a)', 'orders'); END $$ LANGUAGE plpgsql; SELECT mk('orders');

--= index-not-concurrent
CREATE FUNCTION mk(t text) RETURNS void AS $$ BEGIN EXECUTE 'CREATE INDEX ON ' || quote_ident(t) || ' (a)'; END $$ LANGUAGE plpgsql; SELECT mk('orders');

--= index-not-concurrent
DO $$ DECLARE t text := 'orders'; BEGIN EXECUTE concat('CREATE INDEX ON ', t, ' (a)'); END $$;

--= index-not-concurrent lock-held-while-slow several-locks
DO $$ DECLARE t text; BEGIN FOR t IN SELECT unnest(ARRAY['orders','customers']) LOOP EXECUTE format('CREATE INDEX ON %I (a)', t); END LOOP; END $$;

--= index-not-concurrent
DO $$ BEGIN EXECUTE $q$CREATE INDEX ON orders (a)$q$; END $$;

--= index-not-concurrent
DO $$ BEGIN EXECUTE E'CREATE\nINDEX ON orders (a)'; END $$;

--= index-not-concurrent
DO $$ BEGIN EXECUTE 'CREATE INDEX ON orders (a); ANALYZE orders'; END $$;

--= cluster
CLUSTER public."Orders" USING "Orders_pkey";

--= cluster
CLUSTER (VERBOSE) orders;

--= cluster
DO $$ BEGIN EXECUTE 'CLUSTER orders'; END $$;

--= vacuum-full
vacuum full verbose analyze "orders";

--= vacuum-full
VACUUM (FULL true) public.orders;

--= silent
VACUUM (FULL false) orders;

--= silent
VACUUM ANALYZE orders;

--= reindex-not-concurrent
REINDEX TABLE public."Orders";

--= reindex-not-concurrent
reindex index orders_pkey;

--= reindex-not-concurrent
REINDEX DATABASE;

--= silent
REINDEX INDEX CONCURRENTLY orders_pkey;

--= silent
REINDEX (CONCURRENTLY, VERBOSE) TABLE orders;

--= refresh-not-concurrent
REFRESH MATERIALIZED VIEW "Sales";

--= silent
REFRESH MATERIALIZED VIEW CONCURRENTLY sales;

--= refresh-not-concurrent
DO $$ BEGIN REFRESH MATERIALIZED VIEW sales; END $$;

--= storage-moved
ALTER TABLE IF EXISTS public.orders SET TABLESPACE "Fast";

--= storage-moved
ALTER TABLE orders SET UNLOGGED;

--= storage-moved
ALTER MATERIALIZED VIEW mv SET TABLESPACE fast;

--= storage-moved
ALTER INDEX ALL IN TABLESPACE a SET TABLESPACE b NOWAIT;

--= storage-moved
ALTER TABLE orders ADD COLUMN x int, SET LOGGED;

--= type-change-rewrites
ALTER TABLE orders ALTER COLUMN id TYPE bigint;

--= type-change-rewrites
ALTER TABLE "Shop"."Orders" ALTER "Id" SET DATA TYPE bigint USING "Id"::bigint;

--= type-change-rewrites
ALTER TABLE orders ALTER at TYPE timestamptz USING at AT TIME ZONE 'UTC';

--= type-change-rewrites
ALTER TABLE orders ALTER j TYPE jsonb USING j::jsonb;

--= type-change-rewrites
DO $$ BEGIN ALTER TABLE orders ALTER id TYPE bigint; END $$;

--= silent
CREATE TABLE t (id bigint PRIMARY KEY, a varchar(10)); ALTER TABLE t ALTER a TYPE int USING a::int;

--= volatile-default
ALTER TABLE orders ADD COLUMN a uuid DEFAULT gen_random_uuid();

--= volatile-default
ALTER TABLE orders ADD COLUMN IF NOT EXISTS a uuid DEFAULT pg_catalog.gen_random_uuid() NOT NULL;

--= volatile-default
ALTER TABLE orders ADD COLUMN a text DEFAULT md5(random()::text);

--= volatile-default
ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT clock_timestamp() + interval '1 day';

--= volatile-default
ALTER TABLE orders ADD COLUMN a text DEFAULT timeofday();

--= volatile-default
ALTER TABLE orders ADD COLUMN a text DEFAULT my_function();

--= volatile-default
DO $$ BEGIN EXECUTE 'ALTER TABLE orders ADD COLUMN a uuid DEFAULT gen_random_uuid()'; END $$;

--= silent
ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT now();

--= silent
ALTER TABLE orders ADD COLUMN a timestamptz DEFAULT statement_timestamp() NOT NULL;

--= silent
ALTER TABLE orders ADD COLUMN a date DEFAULT CURRENT_DATE;

--= silent
ALTER TABLE orders ADD COLUMN a text DEFAULT upper('x') || 'y';

--= silent
ALTER TABLE orders ADD COLUMN a text DEFAULT CAST('x' AS text);

--= silent
ALTER TABLE orders ALTER COLUMN a SET DEFAULT gen_random_uuid();

--= silent
ALTER TABLE orders ALTER COLUMN a SET DEFAULT nextval('s');

--= generated-column-stored
ALTER TABLE orders ADD COLUMN a int GENERATED ALWAYS AS (b * 2) STORED;

--= silent
ALTER TABLE orders ADD COLUMN a int GENERATED ALWAYS AS (b * 2) VIRTUAL;

--= generated-column-stored
ALTER TABLE IF EXISTS ONLY "S"."Orders" ADD COLUMN IF NOT EXISTS "A" int NOT NULL GENERATED ALWAYS AS (b) STORED;

--= not-null-scans
ALTER TABLE ONLY public.orders ALTER "A" SET NOT NULL, ALTER b SET NOT NULL;

--= not-null-scans
ALTER TABLE orders ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID;
-- 2.sql
SET lock_timeout='1s';
ALTER TABLE orders ALTER a SET NOT NULL;

--= not-null-scans
ALTER TABLE orders ADD CONSTRAINT c CHECK (b IS NOT NULL) NOT VALID;
-- 2.sql
SET lock_timeout='1s';
ALTER TABLE orders VALIDATE CONSTRAINT c;
-- 3.sql
SET lock_timeout='1s';
ALTER TABLE orders ALTER a SET NOT NULL;

--= silent
ALTER TABLE orders ADD CONSTRAINT "C" CHECK (b > 0 AND (a) IS NOT NULL) NOT VALID;
-- 2.sql
SET lock_timeout='1s';
ALTER TABLE public.orders VALIDATE CONSTRAINT "C";
-- 3.sql
SET lock_timeout='1s';
ALTER TABLE ONLY orders ALTER a SET NOT NULL, DROP CONSTRAINT "C";

--= silent
ALTER TABLE orders ADD CONSTRAINT c CHECK (NOT (a IS NULL)) NOT VALID;
-- 2.sql
SET lock_timeout='1s';
ALTER TABLE public.orders VALIDATE CONSTRAINT c;
-- 3.sql
SET lock_timeout='1s';
ALTER TABLE ONLY orders ALTER a SET NOT NULL;

--= not-null-scans
ALTER TABLE orders ADD CONSTRAINT c CHECK (b > 0 OR a IS NOT NULL) NOT VALID;
-- 2.sql
SET lock_timeout='1s';
ALTER TABLE public.orders VALIDATE CONSTRAINT c;
-- 3.sql
SET lock_timeout='1s';
ALTER TABLE ONLY orders ALTER a SET NOT NULL;

--= not-null-scans
ALTER TABLE orders ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID;
-- 2.sql
SET lock_timeout='1s';
ALTER TABLE orders VALIDATE CONSTRAINT c;
-- 3.sql
SET lock_timeout='1s';
ALTER TABLE orders DROP CONSTRAINT c;
-- 4.sql
SET lock_timeout='1s';
ALTER TABLE orders ALTER a SET NOT NULL;

--= silent
ALTER TABLE orders ADD CONSTRAINT n NOT NULL a NOT VALID;
-- 2.sql
SET lock_timeout='1s';
ALTER TABLE orders VALIDATE CONSTRAINT n;
-- 3.sql
SET lock_timeout='1s';
ALTER TABLE orders ALTER a SET NOT NULL;

--= silent
CREATE UNIQUE INDEX CONCURRENTLY i ON orders (id);
-- 2.sql
SET lock_timeout='1s';
ALTER TABLE orders ADD CONSTRAINT u UNIQUE USING INDEX i;

--= not-null-scans
CREATE UNIQUE INDEX CONCURRENTLY i ON orders (id);
-- 2.sql
SET lock_timeout='1s';
ALTER TABLE orders ADD CONSTRAINT u PRIMARY KEY USING INDEX i;

--= silent
CREATE UNIQUE INDEX CONCURRENTLY i ON orders (id);
-- 2.sql
SET lock_timeout='1s';
ALTER TABLE orders ADD CONSTRAINT n CHECK (id IS NOT NULL) NOT VALID;
-- 3.sql
SET lock_timeout='1s';
ALTER TABLE orders VALIDATE CONSTRAINT n;
-- 4.sql
SET lock_timeout='1s';
ALTER TABLE orders ALTER id SET NOT NULL;
-- 5.sql
SET lock_timeout='1s';
ALTER TABLE orders ADD CONSTRAINT u PRIMARY KEY USING INDEX i;

--= check-scans
ALTER TABLE "S".orders ADD CONSTRAINT c CHECK (a > 0) NO INHERIT;

--= check-scans
DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'c') THEN ALTER TABLE orders ADD CONSTRAINT c CHECK (a > 0); END IF; END $$;

--= silent
DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'c') THEN ALTER TABLE orders ADD CONSTRAINT c CHECK (a > 0) NOT VALID; END IF; END $$;

--= silent
DO $$ BEGIN ALTER TABLE orders ADD CONSTRAINT c CHECK (a > 0) NOT VALID; EXCEPTION WHEN duplicate_object THEN NULL; END $$;

--= foreign-key-scans
ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES "S"."C" ON DELETE CASCADE DEFERRABLE;

--= foreign-key-scans
ALTER TABLE orders ADD COLUMN x int, ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES c (id);

--= foreign-key-scans
DO $$ BEGIN EXECUTE 'ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES c (id)'; END $$;

--= exclusion-constraint
ALTER TABLE public.b ADD CONSTRAINT e EXCLUDE USING gist (room WITH =, tsrange(a, b) WITH &&) WHERE (x);

--= exclusion-constraint
DO $$ BEGIN ALTER TABLE b ADD EXCLUDE (a WITH =); END $$;

--= domain-constraint-scans
ALTER DOMAIN "public"."Email" ADD CONSTRAINT c CHECK (VALUE ~ '@');

--= domain-constraint-scans
DO $$ BEGIN ALTER DOMAIN email ADD CHECK (VALUE ~ '@'); END $$;

--= silent
ALTER DOMAIN email ADD CONSTRAINT c CHECK (VALUE ~ '@') NOT VALID;

--= silent
ALTER DOMAIN email DROP CONSTRAINT c;

--= silent
ALTER DOMAIN email SET DEFAULT 'x';

--= silent
CREATE DOMAIN email AS text CHECK (VALUE ~ '@'); ALTER DOMAIN email ADD CHECK (VALUE <> '');
