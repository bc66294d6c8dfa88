DROP TABLE chain_checkpoints;
DROP TABLE audit_checkpoint_entries;
DROP TABLE audit_checkpoints;
DROP TABLE audit_events;
