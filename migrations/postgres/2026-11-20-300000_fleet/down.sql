-- Refused, and nothing is changed, while a terminal is decommissioned or an event is of a kind or by an actor that the
-- version before does not know.
DROP TABLE creation_answers;
ALTER TABLE audit_events
    DROP CONSTRAINT audit_events_actor_word,
    ADD CONSTRAINT audit_events_actor_word
        CHECK (actor IN ('terminal', 'operator')
            OR (actor ~ '^user:' AND octet_length(actor) BETWEEN 6 AND 260 AND actor !~ '[\u0001-\u001F\u007F-\u009F]'));
ALTER TABLE device_events
    DROP CONSTRAINT device_events_actor_word,
    DROP CONSTRAINT device_events_kind_word,
    ADD CONSTRAINT device_events_actor_word
        CHECK (actor IN ('terminal', 'operator')
            OR (actor ~ '^user:' AND octet_length(actor) BETWEEN 6 AND 260 AND actor !~ '[\u0001-\u001F\u007F-\u009F]')),
    ADD CONSTRAINT device_events_kind_word
        CHECK (kind IN ('provisioned', 'pairing_code_issued', 'claimed', 'activated', 'released'));
ALTER TABLE devices
    DROP CONSTRAINT devices_status_word,
    DROP CONSTRAINT devices_state_facts,
    DROP COLUMN decommissioned_at,
    DROP COLUMN label,
    DROP COLUMN location_id,
    ADD CONSTRAINT devices_status_word CHECK (status IN ('inactive', 'claimed', 'activated')),
    ADD CONSTRAINT devices_state_facts CHECK (
        CASE status
            WHEN 'inactive' THEN num_nonnulls(claimed_by, claimed_at, activated_at) = 0
            WHEN 'claimed' THEN num_nulls(pairing_code, claimed_by, claimed_at) = 0 AND activated_at IS NULL
            WHEN 'activated' THEN num_nulls(pairing_code, claimed_by, claimed_at, activated_at) = 0
            ELSE true -- devices_status_word refuses it
        END
    );
DROP TABLE locations;
