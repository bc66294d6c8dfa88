-- Fleets: where terminals stand, what people call them, terminals out of use, and calls that create something once.
--
--    merchants ◀─── locations ◀─── devices (merchant_id, location_id)    never at another merchant's location
--
--    inactive ── moved ──▶ inactive, at another merchant        every state ── amended ──▶ the same state
--    every state ── decommissioned ──▶ decommissioned, for good
--
--    status          pairing_code, its instants    claimed_by, claimed_at    activated_at    decommissioned_at
--    inactive        all or none                   none                      none            none
--    claimed         all                           both                      none            none
--    activated       all                           both                      there           none
--    decommissioned  none                          none                      none            there
--
-- Servers of the version before go on writing while the replicas are replaced: they know none of the new columns and
-- leave them as they are. What they cannot read is a terminal that was decommissioned and the events of the new kinds.
-- No creating call of theirs keeps an answer.

CREATE TABLE locations (
    location_id uuid        PRIMARY KEY,
    merchant_id uuid        NOT NULL REFERENCES merchants,
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL,

    -- What devices refer to; also one merchant's locations, page by page.
    CONSTRAINT locations_of_merchant UNIQUE (merchant_id, location_id),
    CONSTRAINT locations_name_form CHECK (length(name) BETWEEN 1 AND 200 AND name !~ '[\u0001-\u001F\u007F-\u009F]')
);

COMMENT ON TABLE locations IS 'Places where a merchant''s terminals stand.';
COMMENT ON COLUMN locations.location_id IS 'Its id.';
COMMENT ON COLUMN locations.merchant_id IS 'Whose it is, for good.';
COMMENT ON COLUMN locations.name IS 'What people call it.';
COMMENT ON COLUMN locations.created_at IS 'When it was made known.';

ALTER TABLE devices
    ADD COLUMN decommissioned_at timestamptz,
    ADD COLUMN label             text,
    ADD COLUMN location_id       uuid,
    DROP CONSTRAINT devices_status_word,
    DROP CONSTRAINT devices_state_facts,
    ADD CONSTRAINT devices_status_word CHECK (status IN ('inactive', 'claimed', 'activated', 'decommissioned')),
    ADD CONSTRAINT devices_state_facts CHECK (
        CASE status
            WHEN 'inactive' THEN num_nonnulls(claimed_by, claimed_at, activated_at, decommissioned_at) = 0
            WHEN 'claimed' THEN num_nulls(pairing_code, claimed_by, claimed_at) = 0
                AND num_nonnulls(activated_at, decommissioned_at) = 0
            WHEN 'activated' THEN num_nulls(pairing_code, claimed_by, claimed_at, activated_at) = 0
                AND decommissioned_at IS NULL
            WHEN 'decommissioned' THEN num_nonnulls(pairing_code, claimed_by, claimed_at, activated_at) = 0
                AND decommissioned_at IS NOT NULL
            ELSE true -- devices_status_word refuses it
        END
    ),
    ADD CONSTRAINT devices_label_form
        CHECK (length(label) BETWEEN 1 AND 200 AND label !~ '[\u0001-\u001F\u007F-\u009F]'),
    -- Not looked at while location_id is null, so a merchant without a row has devices, and they stand nowhere.
    ADD CONSTRAINT devices_own_location
        FOREIGN KEY (merchant_id, location_id) REFERENCES locations (merchant_id, location_id);

COMMENT ON COLUMN devices.status IS 'inactive, claimed, activated or decommissioned.';
COMMENT ON COLUMN devices.decommissioned_at IS 'When it was taken out of use.';
COMMENT ON COLUMN devices.label IS 'What people call it, such as the till it stands at.';
COMMENT ON COLUMN devices.location_id IS 'Where it stands: a location of its merchant.';

-- The devices at one location, page by page.
CREATE INDEX devices_at_location ON devices (location_id, device_id) WHERE location_id IS NOT NULL;

-- Rows that are there obeyed the narrower rules, so these need not be looked at, and the largest tables are locked for
-- no longer than it takes to say so.
ALTER TABLE device_events
    DROP CONSTRAINT device_events_actor_word,
    DROP CONSTRAINT device_events_kind_word,
    ADD CONSTRAINT device_events_actor_word
        CHECK (actor IN ('terminal', 'operator', 'identity_provider')
            OR (actor ~ '^user:' AND octet_length(actor) BETWEEN 6 AND 260 AND actor !~ '[\u0001-\u001F\u007F-\u009F]'))
        NOT VALID,
    ADD CONSTRAINT device_events_kind_word
        CHECK (kind IN ('provisioned', 'pairing_code_issued', 'claimed', 'activated', 'released', 'amended', 'moved',
            'decommissioned'))
        NOT VALID;
ALTER TABLE audit_events
    DROP CONSTRAINT audit_events_actor_word,
    ADD CONSTRAINT audit_events_actor_word
        CHECK (actor IN ('terminal', 'operator', 'identity_provider')
            OR (actor ~ '^user:' AND octet_length(actor) BETWEEN 6 AND 260 AND actor !~ '[\u0001-\u001F\u007F-\u009F]'))
        NOT VALID;

COMMENT ON COLUMN device_events.merchant_id IS 'The merchant it belonged to then; the new one when it moved.';
COMMENT ON COLUMN device_events.actor IS 'Who: terminal, operator, identity_provider, or user: and the subject.';
COMMENT ON COLUMN device_events.kind IS 'What: provisioned, pairing_code_issued, claimed, activated, released, amended, moved or decommissioned.';
COMMENT ON COLUMN audit_events.actor IS 'Who: terminal, operator, identity_provider, or user: and the subject.';

CREATE TABLE creation_answers (
    party_kind      text             NOT NULL,
    party_id        uuid             NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    fingerprint     bytea            NOT NULL,
    answer          text             NOT NULL,
    created_at      timestamptz      NOT NULL,
    keep_until      timestamptz      NOT NULL,

    -- Of calls with one key that come at once, the second waits here until the first is kept or rolled back.
    PRIMARY KEY (party_kind, party_id, idempotency_key),
    CONSTRAINT creation_answers_kind_word CHECK (party_kind IN ('merchant', 'reseller')),
    CONSTRAINT creation_answers_key_form CHECK (idempotency_key ~ '^[!-~]{1,255}$'),
    CONSTRAINT creation_answers_fingerprint_form CHECK (octet_length(fingerprint) = 32)
);

COMMENT ON TABLE creation_answers IS 'What creating calls were answered, written with what they created, so that a call that is sent again creates nothing more.';
COMMENT ON COLUMN creation_answers.party_kind IS 'merchant or reseller: the sort of party whose key it is.';
COMMENT ON COLUMN creation_answers.party_id IS 'Whose key it is.';
COMMENT ON COLUMN creation_answers.idempotency_key IS 'The caller''s name for the call.';
COMMENT ON COLUMN creation_answers.fingerprint IS 'SHA-256 over what the call asked for.';
COMMENT ON COLUMN creation_answers.answer IS 'What the caller was told.';
COMMENT ON COLUMN creation_answers.created_at IS 'When the call was made, by the server''s clock.';
COMMENT ON COLUMN creation_answers.keep_until IS 'From when on it may be forgotten, and the key is free.';

CREATE INDEX creation_answers_to_forget ON creation_answers (keep_until);
