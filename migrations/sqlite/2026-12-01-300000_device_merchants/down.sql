-- The merchants stay: nothing tells them from those that somebody added since.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(sql, 'CONSTRAINT devices_merchant FOREIGN KEY (merchant_id) REFERENCES merchants,
    CONSTRAINT devices_version_counts', 'CONSTRAINT devices_version_counts')
WHERE type = 'table' AND name = 'devices';
CREATE TABLE schema_changed (number INTEGER);
DROP TABLE schema_changed;
PRAGMA writable_schema = RESET;
