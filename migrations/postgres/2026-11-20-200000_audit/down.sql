DROP TABLE audit_events;
DROP INDEX device_events_by_time;
ALTER TABLE device_events DROP COLUMN origin, DROP COLUMN trace_id, DROP COLUMN hash;
ALTER TABLE devices DROP COLUMN chain_start, DROP COLUMN chain_head;
