BEGIN TRANSACTION;
CREATE TABLE announcements (
	id VARCHAR(36) NOT NULL, 
	target TEXT NOT NULL, 
	environment TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	first_at DATETIME NOT NULL, 
	CONSTRAINT announcements_pkey PRIMARY KEY (id), 
	CONSTRAINT announcements_target_environment_digest_key UNIQUE (target, environment, digest)
);
INSERT INTO "announcements" VALUES('00000000-0000-4000-8000-000000000001','shop','staging','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','2026-11-23 03:04:06.250000');
CREATE TABLE catalogs (
	number INTEGER NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	target TEXT NOT NULL, 
	environment TEXT NOT NULL, 
	release_id VARCHAR(40), 
	revision TEXT, 
	digest TEXT NOT NULL, 
	catalog TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT catalogs_pkey PRIMARY KEY (number), 
	CONSTRAINT catalogs_id_key UNIQUE (id), 
	CONSTRAINT catalogs_release_id_fkey FOREIGN KEY(release_id) REFERENCES releases (id) ON DELETE RESTRICT
);
INSERT INTO "catalogs" VALUES(1,'3dd9ec80-e899-4f61-b410-6cb9bc7e7c87','shop','production',NULL,'20251101_0900','5c93cf1aee27f2e823a869616cad891fc19fb0f4355ef768d4c4d017cc5c3ac3','[{"kind": "column", "name": "orders.id", "definition": "bigint NOT NULL"}, {"kind": "grant", "name": "orders", "definition": "SELECT TO shop_app"}, {"kind": "table", "name": "orders", "definition": "TABLE orders OWNER shop_owner"}]','2026-11-23 03:04:07.250000');
INSERT INTO "catalogs" VALUES(2,'2d561faa-7abd-4780-8bc7-2ced0955720c','shop','production','20261123-030405-5f0c','20251102_0900','b5d2c3ba5a29bfce47417662231f3543aeee393608947045ab6320eccdde24e0','[{"kind": "column", "name": "orders.id", "definition": "bigint NOT NULL"}, {"kind": "column", "name": "orders.notiz_für", "definition": "text"}, {"kind": "grant", "name": "orders", "definition": "SELECT TO shop_app"}, {"kind": "table", "name": "orders", "definition": "TABLE orders OWNER shop_owner"}]','2026-11-23 03:04:08.250000');
INSERT INTO "catalogs" VALUES(3,'ac787457-0641-42ba-bec9-459dbe3f3c50','shop','production','20261123-040506-a1b2','20251101_0900','5c93cf1aee27f2e823a869616cad891fc19fb0f4355ef768d4c4d017cc5c3ac3','[{"kind": "column", "name": "orders.id", "definition": "bigint NOT NULL"}, {"kind": "grant", "name": "orders", "definition": "SELECT TO shop_app"}, {"kind": "table", "name": "orders", "definition": "TABLE orders OWNER shop_owner"}]','2026-11-23 03:04:09.250000');
CREATE TABLE evidence (
	digest VARCHAR(64) NOT NULL, 
	plan_digest VARCHAR(64) NOT NULL, 
	release_id VARCHAR(40), 
	evidence TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT evidence_pkey PRIMARY KEY (digest), 
	CONSTRAINT evidence_release_id_fkey FOREIGN KEY(release_id) REFERENCES releases (id) ON DELETE RESTRICT
);
INSERT INTO "evidence" VALUES('1ee070ce7a1e82638b7835e238eaef62bcaa2531aa54be8e998750443f3a3eb1','9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a','20261123-030405-5f0c','{"plan_digest":"9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a","revisions":[{"revision":"20251102_0900","phase":"expand","duration_ms":125,"statements":[{"revision":"20251102_0900","sql":"ALTER TABLE orders ADD COLUMN notiz_für text","transaction":1,"began_s":0.125,"duration_ms":3.5,"rows":null,"locks":[{"lock":{"relation":"orders","mode":"AccessExclusiveLock"},"from_s":0.125,"until_s":0.25}]}],"rewrites":["orders"],"wal_bytes":8192,"growth_bytes":16384}],"way_back":{"ran":true,"reason":"","catalogue":[],"rows":[],"not_compared":["events"],"again":[],"by_revision":[]},"compatibility":{"looked_at":7,"broken":[{"statement":{"query":"SELECT id FROM orders WHERE id = $1","calls":42},"trouble":"required column","reason":"orders.x is required now"}],"unknown":[[{"query":"SELECT id FROM orders WHERE id = $1","calls":42},"a plan only"]],"worse":[],"plans_compared":true,"unseen":[],"tried":5,"unsure":[]},"checks":[{"check":"foreign keys","violations":0,"detail":"3 constraints","sample":[]},{"check":"row counts","violations":null,"detail":"cannot tell","sample":["orders: too large"]}],"baseline":[{"check":"foreign keys","violations":0,"detail":"3 constraints","sample":[]},{"check":"row counts","violations":null,"detail":"cannot tell","sample":["orders: too large"]}]}','2026-11-23 03:04:10.250000');
CREATE TABLE ledger_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT ledger_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "ledger_version" VALUES('20261123_2300');
CREATE TABLE releases (
	id VARCHAR(40) NOT NULL, 
	target TEXT NOT NULL, 
	ref TEXT NOT NULL, 
	commit_sha TEXT NOT NULL, 
	target_revision TEXT NOT NULL, 
	requested_by TEXT NOT NULL, 
	flow_run_id TEXT, 
	holder TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	lease_expires_at DATETIME NOT NULL, 
	started_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	summary TEXT NOT NULL, 
	CONSTRAINT releases_pkey PRIMARY KEY (id), 
	CONSTRAINT releases_state_check CHECK (state IN ('running', 'succeeded', 'rolled_back', 'failed', 'undecided', 'abandoned')), 
	CONSTRAINT releases_ended_check CHECK ((state = 'running') = (ended_at IS NULL))
);
INSERT INTO "releases" VALUES('20261123-030405-5f0c','shop','v2','5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c','20251102_0900','flow run brave-fox','5f0c5d3a-0d0e-4b53-8a4e-0d3f6a1c9b11','worker-1:4711:1','undecided','2026-11-23 03:04:11.250000','2026-11-23 03:04:12.250000','2026-11-23 03:04:13.250000','nothing was moved: production serves dpl_after');
INSERT INTO "releases" VALUES('20261123-040506-a1b2','shop','v2','5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c','20251102_0900','rollback of 20261123-030405-5f0c: rows are missing: all of them','5f0c5d3a-0d0e-4b53-8a4e-0d3f6a1c9b11','worker-1:4711:1','rolled_back','2026-11-23 03:04:14.250000','2026-11-23 03:04:15.250000','2026-11-23 03:04:16.250000','rolled back: production restored');
INSERT INTO "releases" VALUES('20261124-030405-c3d4','shop','v3','7e2f7e2f7e2f7e2f7e2f7e2f7e2f7e2f7e2f7e2f','20251102_0900','flow run shy-owl','5f0c5d3a-0d0e-4b53-8a4e-0d3f6a1c9b11','worker-1:4711:1','running','2026-11-23 03:04:17.250000','2026-11-23 03:04:18.250000',NULL,'');
CREATE TABLE steps (
	id VARCHAR(36) NOT NULL, 
	release_id VARCHAR(40) NOT NULL, 
	seq INTEGER NOT NULL, 
	step TEXT NOT NULL, 
	event VARCHAR(8) NOT NULL, 
	at DATETIME NOT NULL, 
	details JSON NOT NULL, 
	CONSTRAINT steps_pkey PRIMARY KEY (id), 
	CONSTRAINT steps_release_id_fkey FOREIGN KEY(release_id) REFERENCES releases (id) ON DELETE RESTRICT, 
	CONSTRAINT steps_release_id_seq_key UNIQUE (release_id, seq), 
	CONSTRAINT steps_event_check CHECK (event IN ('begun', 'done', 'failed', 'noted'))
);
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000002','20261123-030405-5f0c',1,'plan','begun','2026-11-23 03:04:19.250000','{"target_revision": "20251102_0900"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000003','20261123-030405-5f0c',2,'plan','done','2026-11-23 03:04:20.250000','{"digest": "9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a", "expand": ["20251102_0900"], "contract": [], "source": "recorded", "note": "", "hazards": [], "waived": ["20251102_0900: adding-not-null"]}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000004','20261123-030405-5f0c',3,'snapshot','begun','2026-11-23 03:04:21.250000','{"branch": "release-20261123-030405-5f0c", "expires_at": "2026-11-30T03:04:05+00:00"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000005','20261123-030405-5f0c',4,'snapshot','done','2026-11-23 03:04:22.250000','{"branch": "release-20261123-030405-5f0c", "branch_id": "br-snapshot-1", "lsn": "0/19F2C40"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000006','20261123-030405-5f0c',5,'rehearsal','begun','2026-11-23 03:04:23.250000','{"branch": "rehearsal-20261123-030405-5f0c", "plan": "9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000007','20261123-030405-5f0c',6,'rehearsal','done','2026-11-23 03:04:24.250000','{"branch_deleted": "rehearsal-20261123-030405-5f0c", "plan": "9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a9a", "evidence": "1ee070ce7a1e82638b7835e238eaef62bcaa2531aa54be8e998750443f3a3eb1", "downtime": "a request waits 125 ms at most to read, 125 ms at most to write", "way_back": "not proven lossless: events was too large to compare", "compatibility": "7 statements looked at, 5 of them with values that production holds, 1 break; cannot tell of 1", "problems": []}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000008','20261123-030405-5f0c',7,'migrate staging','begun','2026-11-23 03:04:25.250000','{"target_revision": "20251102_0900"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000009','20261123-030405-5f0c',8,'migrate staging','done','2026-11-23 03:04:26.250000','{"revisions": ["20251102_0900"], "impact": [{"revision": "20251102_0900", "duration_ms": 125, "attempts": 2, "waited_ms": 1500, "blocked_ms": 60, "blocked": [{"user": "shop_app", "application": "shop", "query": "SELECT id FROM orders WHERE id = $1", "waited_ms": 60}], "ended": ["pid 4712 of shop_app (psql), idle in transaction for 62 s: SELECT $1"]}]}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000010','20261123-030405-5f0c',9,'restore point','begun','2026-11-23 03:04:27.250000','{}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000011','20261123-030405-5f0c',10,'restore point','done','2026-11-23 03:04:28.250000','{"production_branch_id": "br-production-1", "snapshot_branch_id": "br-snapshot-1", "seal": {"lsn": "0/1A2B3C8", "snapshot": "742:745:743", "in_flight_xids": [743], "sealed_at": "2026-11-23T03:04:05.250000Z", "timeline": 1, "row_counts": {"orders": 120, "audit.events": 3}, "estimated_counts": {"events": 100000}, "attempts": 2}, "catalog_digest": "5c93cf1aee27f2e823a869616cad891fc19fb0f4355ef768d4c4d017cc5c3ac3", "catalog_json": "[{\"kind\": \"column\", \"name\": \"orders.id\", \"definition\": \"bigint NOT NULL\"}, {\"kind\": \"grant\", \"name\": \"orders\", \"definition\": \"SELECT TO shop_app\"}, {\"kind\": \"table\", \"name\": \"orders\", \"definition\": \"TABLE orders OWNER shop_owner\"}]", "revisions": ["20251101_0900"], "serving_deployment_id": "dpl_before", "baseline": [{"check": "foreign keys", "violations": 0, "detail": "3 constraints", "sample": []}, {"check": "row counts", "violations": null, "detail": "cannot tell", "sample": ["orders: too large"]}], "target_revision": "20251102_0900"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000012','20261123-030405-5f0c',11,'migrate production','begun','2026-11-23 03:04:29.250000','{"target_revision": "20251102_0900"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000013','20261123-030405-5f0c',12,'migrate production','done','2026-11-23 03:04:30.250000','{"revisions": ["20251102_0900"], "impact": [{"revision": "20251102_0900", "duration_ms": 125, "attempts": 2, "waited_ms": 1500, "blocked_ms": 60, "blocked": [{"user": "shop_app", "application": "shop", "query": "SELECT id FROM orders WHERE id = $1", "waited_ms": 60}], "ended": ["pid 4712 of shop_app (psql), idle in transaction for 62 s: SELECT $1"]}]}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000014','20261123-030405-5f0c',13,'catalogue of production','noted','2026-11-23 03:04:31.250000','{"digest": "b5d2c3ba5a29bfce47417662231f3543aeee393608947045ab6320eccdde24e0", "revision": "20251102_0900"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000015','20261123-030405-5f0c',14,'build production','begun','2026-11-23 03:04:32.250000','{"commit": "5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000016','20261123-030405-5f0c',15,'build production','done','2026-11-23 03:04:33.250000','{"deployment": "dpl_after", "url": "https://shop-after.example.com"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000017','20261123-030405-5f0c',16,'promote','begun','2026-11-23 03:04:34.250000','{"deployment": "dpl_after"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000018','20261123-030405-5f0c',17,'promote','done','2026-11-23 03:04:35.250000','{}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000019','20261123-030405-5f0c',18,'watch production','begun','2026-11-23 03:04:36.250000','{"seconds": 60, "deployment": "dpl_after"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000020','20261123-030405-5f0c',19,'watch production','done','2026-11-23 03:04:37.250000','{"verdicts": [{"check": "row counts", "measured": "3 violations", "threshold": "0", "verdict": "fail", "detail": "orders: 117 of 120"}, {"check": "latency P95", "measured": "12 ms", "threshold": "100 ms", "verdict": "pass", "detail": ""}, {"check": "users seen", "measured": "cannot tell", "threshold": "at least 10", "verdict": "cannot tell", "detail": "too thin"}]}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000021','20261123-030405-5f0c',20,'kept','noted','2026-11-23 03:04:38.250000','{"by": "ana", "reason": "rows are right", "revisions": ["20251102_0900"], "deployment": "dpl_after", "by_hand": ["index orders_idx added"]}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000022','20261123-040506-a1b2',1,'maintenance mode on','begun','2026-11-23 03:04:39.250000','{"maintenance": true}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000023','20261123-040506-a1b2',2,'maintenance mode on','done','2026-11-23 03:04:40.250000','{}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000024','20261123-040506-a1b2',3,'protection lifted','noted','2026-11-23 03:04:41.250000','{"branch_id": "br-production-1", "protection_lifted": true}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000025','20261123-040506-a1b2',4,'restore production','begun','2026-11-23 03:04:42.250000','{"branch": "before-rollback-20261123-030405-5f0c", "lsn": "0/1A2B3C8"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000026','20261123-040506-a1b2',5,'restore production','done','2026-11-23 03:04:43.250000','{"branch": "before-rollback-20261123-030405-5f0c", "branch_id": "br-kept-1", "lsn": "0/1A2B3C8"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000027','20261123-040506-a1b2',6,'protection set','begun','2026-11-23 03:04:44.250000','{"branch_id": "br-production-1"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000028','20261123-040506-a1b2',7,'protection set','done','2026-11-23 03:04:45.250000','{"protection_lifted": false}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000029','20261123-040506-a1b2',8,'roll back application','begun','2026-11-23 03:04:46.250000','{"deployment": "dpl_before"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000030','20261123-040506-a1b2',9,'roll back application','done','2026-11-23 03:04:47.250000','{}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000031','20261123-040506-a1b2',10,'receipt','begun','2026-11-23 03:04:48.250000','{"file": ".pilotage/cache/receipts/20261123-040506-a1b2.jsonl"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000032','20261123-040506-a1b2',11,'receipt','done','2026-11-23 03:04:49.250000','{"inserted": 4, "updated": 1, "deleted": 0, "file": ".pilotage/cache/receipts/20261123-040506-a1b2.jsonl"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000033','20261123-040506-a1b2',12,'maintenance mode off','begun','2026-11-23 03:04:50.250000','{"maintenance": false}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000034','20261123-040506-a1b2',13,'maintenance mode off','done','2026-11-23 03:04:51.250000','{}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000035','20261124-030405-c3d4',1,'snapshot','begun','2026-11-23 03:04:52.250000','{"branch": "release-20261124-030405-c3d4"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000036','20261124-030405-c3d4',2,'build production','begun','2026-11-23 03:04:53.250000','{"commit": "7e2f7e2f7e2f7e2f7e2f7e2f7e2f7e2f7e2f7e2f", "deployment": ["dpl_open"]}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000037','20261124-030405-c3d4',3,'build production','failed','2026-11-23 03:04:54.250000','{"deployment": ["dpl_open"], "error": "ApplicationFailed", "message": "build: no"}');
INSERT INTO "steps" VALUES('00000000-0000-4000-8000-000000000038','20261124-030405-c3d4',4,'promote','begun','2026-11-23 03:04:55.250000','{"deployment": "dpl_open"}');
CREATE UNIQUE INDEX releases_one_running_a_target ON releases (target) WHERE state = 'running';
CREATE INDEX releases_by_target ON releases (target, started_at);
CREATE TRIGGER steps_refuse_update BEFORE UPDATE ON steps
    BEGIN SELECT RAISE(ABORT, 'steps are append-only: a step is never changed'); END;
CREATE TRIGGER steps_refuse_delete BEFORE DELETE ON steps
    BEGIN SELECT RAISE(ABORT, 'steps are append-only: a step is never deleted'); END;
CREATE TRIGGER steps_refuse_replace BEFORE INSERT ON steps
    WHEN EXISTS (SELECT 1 FROM steps WHERE id = NEW.id OR (release_id = NEW.release_id AND seq = NEW.seq))
    BEGIN SELECT RAISE(ABORT, 'steps are append-only: a step is never replaced'); END;
CREATE INDEX catalogs_newest ON catalogs (target, environment, number);
CREATE INDEX evidence_by_plan ON evidence (plan_digest, at);
COMMIT;
