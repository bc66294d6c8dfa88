DELETE FROM audit_events WHERE detail::jsonb ->> 'recorded' = 'upgrade';
DROP TABLE audit_seals;
DROP TABLE audit_checkpoints;
ALTER TABLE audit_events DROP COLUMN hash;
