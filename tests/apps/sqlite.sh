# sqlite3 on a tmpfs: transactions, journals, indexes, WAL with its shared memory.
set -e
cd "$(mktemp -d)"
sqlite3 db <<'END'
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);
BEGIN;
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5000) INSERT INTO t SELECT x, 'name ' || (x * 7919 % 5003), x / 3.0 FROM c;
COMMIT;
CREATE INDEX i ON t(name);
SELECT count(*), sum(id), printf('%.3f', sum(value)) FROM t;
SELECT * FROM t WHERE name = 'name 42';
UPDATE t SET value = value + 1 WHERE id % 10 = 0; SELECT changes();
BEGIN; DELETE FROM t; ROLLBACK; SELECT count(*) FROM t;
PRAGMA integrity_check; VACUUM;
PRAGMA journal_mode = WAL; INSERT INTO t(name) VALUES ('wal'); PRAGMA wal_checkpoint(TRUNCATE);
SELECT name FROM t ORDER BY id DESC LIMIT 1;
END
for i in 1 2 3 4; do sqlite3 -cmd '.timeout 20000' db "BEGIN IMMEDIATE; UPDATE t SET value = value + 1 WHERE id = 1; COMMIT;" & done; wait
sqlite3 db "SELECT printf('%.3f', value) FROM t WHERE id = 1; PRAGMA quick_check;"
sqlite3 db .dump | md5sum; ls
