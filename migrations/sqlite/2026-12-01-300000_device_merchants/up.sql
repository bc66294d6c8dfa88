-- A device belongs to a merchant that has a row.
--
--    merchants ◀─── devices (merchant_id)
--
-- Merchants that have devices and no row get one, named by their ids, with an event of its own each in the audit trail.
-- No device is changed or removed.
--
-- SQLite cannot add a constraint to a table. The table is not made anew, because no row on the disk changes: its
-- statement in sqlite_schema is replaced, as https://www.sqlite.org/lang_altertable.html describes for constraints. A
-- table that comes and goes has every connection read the schema again.
INSERT INTO audit_events (at, actor, merchant_id, kind, subject)
SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000000, 'operator', merchant_id, 'merchant_added',
    'merchant:' || merchant_id
FROM devices
WHERE merchant_id NOT IN (SELECT merchant_id FROM merchants)
GROUP BY merchant_id
ORDER BY merchant_id;
INSERT INTO merchants (merchant_id, name, created_at)
SELECT merchant_id, merchant_id, min(provisioned_at)
FROM devices
WHERE merchant_id NOT IN (SELECT merchant_id FROM merchants)
GROUP BY merchant_id;

PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(sql, 'CONSTRAINT devices_version_counts',
    'CONSTRAINT devices_merchant FOREIGN KEY (merchant_id) REFERENCES merchants,
    CONSTRAINT devices_version_counts')
WHERE type = 'table' AND name = 'devices';
CREATE TABLE schema_changed (number INTEGER);
DROP TABLE schema_changed;
PRAGMA writable_schema = RESET;
