DROP TABLE audit_events;
DROP INDEX device_events_by_time;
ALTER TABLE device_events DROP COLUMN origin;
ALTER TABLE device_events DROP COLUMN trace_id;
ALTER TABLE device_events DROP COLUMN hash;
ALTER TABLE devices DROP COLUMN chain_head;
ALTER TABLE devices DROP COLUMN chain_start;
