-- Devices with their current pairing code, their events and their past pairing codes.
--
--    merchants <---- locations
--        ^               ^
--        +-------+-------+
--                |
--             devices <---- device_events <---- past_pairing_codes
--
-- State machine of a device:
--
--                    issue a pairing code
--                          +-----+
--                          |     |
--                          |     v
--    provision ---------> inactive ---- claim ----> claimed ---- activate ----> activated
--                             ^                        |                            |
--                             +------- release --------+------- release ------------+
--
--    inactive                       -- transfer -----> inactive, at another merchant, without a pairing code
--    inactive, claimed, activated   -- update -------> the same status
--    inactive, claimed, activated   -- decommission -> decommissioned, final
--
--    status          pairing_code, its instants    claimed_by, claimed_at    activated_at    decommissioned_at
--    inactive        all or none                   none                      none            none
--    claimed         all                           both                      none            none
--    activated       all                           both                      set             none
--    decommissioned  none                          none                      none            set
--
-- State machine of a pairing code:
--
--    issue ----> pending --+-- claim ----------------------------> used by the claim --+-- release, decommission --> past: used
--                          |
--                          +-- code_expires_at --> expired --+
--                          |                                 |
--                          +---------------------------------+-- new code, transfer, decommission --> past: superseded
--
-- Hash chain of a device's events:
--
--    device_events    1 --> 2 --> 3 --> 4      each hash covers its row and the previous hash
--    devices          chain_start = 1, chain_tip = hash of event 4
--
-- The code decides which transition is legal. The constraints reject rows that fit no state, whatever wrote them. Ids of
-- type text are COLLATE "C", so that they sort by their bytes, as the code pages through them. Instants have microsecond
-- precision. No constraint compares instants that two replicas took from their own clocks, except for one rule of the
-- product: a code is claimed before it expires.

CREATE TABLE devices (
    device_id         text COLLATE "C" PRIMARY KEY,
    merchant_id       uuid        NOT NULL,
    version           bigint      NOT NULL,
    provisioned_at    timestamptz NOT NULL,
    status            text        NOT NULL,
    pairing_code      text COLLATE "C",
    code_issued_at    timestamptz,
    code_expires_at   timestamptz,
    claimed_by        text COLLATE "C",
    claimed_at        timestamptz,
    activated_at      timestamptz,
    decommissioned_at timestamptz,
    label             text,
    location_id       uuid,
    app_version       text,
    os                text,
    model             text,
    seen_at           timestamptz,
    chain_start       bigint,
    chain_tip         bytea,

    CONSTRAINT devices_merchant FOREIGN KEY (merchant_id) REFERENCES merchants,
    -- Not checked while location_id is null.
    CONSTRAINT devices_own_location FOREIGN KEY (merchant_id, location_id) REFERENCES locations (merchant_id, location_id),
    CONSTRAINT devices_id_form CHECK (octet_length(device_id) BETWEEN 4 AND 64 AND device_id ~ '^POS-[!-~]*$'),
    CONSTRAINT devices_version_positive CHECK (version >= 1),
    CONSTRAINT devices_status_word CHECK (status IN ('inactive', 'claimed', 'activated', 'decommissioned')),
    CONSTRAINT devices_code_form CHECK (pairing_code ~ '^[A-HJ-NP-Z2-9]{6}$'),
    CONSTRAINT devices_code_complete CHECK (num_nulls(pairing_code, code_issued_at, code_expires_at) IN (0, 3)),
    CONSTRAINT devices_claimed_by_form
        CHECK (octet_length(claimed_by) BETWEEN 1 AND 255 AND claimed_by !~ '[\u0001-\u001F\u007F-\u009F]'),
    CONSTRAINT devices_status_columns CHECK (
        CASE status
            WHEN 'inactive' THEN num_nonnulls(claimed_by, claimed_at, activated_at, decommissioned_at) = 0
            WHEN 'claimed' THEN num_nulls(pairing_code, claimed_by, claimed_at) = 0
                AND num_nonnulls(activated_at, decommissioned_at) = 0
            WHEN 'activated' THEN num_nulls(pairing_code, claimed_by, claimed_at, activated_at) = 0
                AND decommissioned_at IS NULL
            WHEN 'decommissioned' THEN num_nonnulls(pairing_code, claimed_by, claimed_at, activated_at) = 0
                AND decommissioned_at IS NOT NULL
            ELSE true -- devices_status_word rejects it
        END
    ),
    CONSTRAINT devices_claimed_in_time CHECK (claimed_at < code_expires_at),
    CONSTRAINT devices_label_form CHECK (length(label) BETWEEN 1 AND 200 AND label !~ '[\u0001-\u001F\u007F-\u009F]'),
    CONSTRAINT devices_terminal_info_complete CHECK (
        num_nulls(app_version, seen_at) IN (0, 2) AND (seen_at IS NOT NULL OR num_nonnulls(os, model) = 0)
    ),
    CONSTRAINT devices_terminal_info_bounded
        CHECK (octet_length(app_version) BETWEEN 1 AND 32 AND length(os) <= 64 AND length(model) <= 64),
    CONSTRAINT devices_chain_complete CHECK (num_nulls(chain_start, chain_tip) IN (0, 2)),
    CONSTRAINT devices_chain_form CHECK (chain_start BETWEEN 1 AND version AND octet_length(chain_tip) = 32)
) WITH (fillfactor = 85); -- free space on each page for updates of the terminal info, which touch no index

COMMENT ON TABLE devices IS
    'One row for each device with its current pairing code: an aggregate with optimistic locking.';
COMMENT ON COLUMN devices.device_id IS
    'Id of the terminal, set at the factory: POS- and, for new devices, eight upper-case hex digits.';
COMMENT ON COLUMN devices.merchant_id IS 'Merchant that the device belongs to, claimed or not.';
COMMENT ON COLUMN devices.version IS
    'Number of changes, from 1. A change is saved only if the version is still the one that was loaded.';
COMMENT ON COLUMN devices.provisioned_at IS 'When it was provisioned, by the server''s clock.';
COMMENT ON COLUMN devices.status IS 'inactive, claimed, activated or decommissioned.';
COMMENT ON COLUMN devices.pairing_code IS
    'Current code: pending or expired while the device is inactive, afterwards the code it was claimed with.';
COMMENT ON COLUMN devices.code_issued_at IS 'When the current code was issued.';
COMMENT ON COLUMN devices.code_expires_at IS 'First instant at which the current code has expired.';
COMMENT ON COLUMN devices.claimed_by IS 'User who claimed it: the subject at the identity provider.';
COMMENT ON COLUMN devices.claimed_at IS 'When it was claimed.';
COMMENT ON COLUMN devices.activated_at IS 'When the terminal reported that it is ready for payments.';
COMMENT ON COLUMN devices.decommissioned_at IS 'When it was decommissioned.';
COMMENT ON COLUMN devices.label IS 'Display name, for example of the till where it is: 1 to 200 characters.';
COMMENT ON COLUMN devices.location_id IS 'Location where it is, one of its merchant.';
COMMENT ON COLUMN devices.app_version IS
    'Terminal info: application version last reported. No rule reads it, and it does not change the version.';
COMMENT ON COLUMN devices.os IS 'Terminal info: operating system last reported.';
COMMENT ON COLUMN devices.model IS 'Terminal info: hardware model last reported.';
COMMENT ON COLUMN devices.seen_at IS 'When the terminal info was reported.';
COMMENT ON COLUMN devices.chain_start IS
    'Sequence of the first event of its hash chain; null before the first chained event.';
COMMENT ON COLUMN devices.chain_tip IS
    'Hash of the last event of its hash chain, which shows that no event at the end is missing.';

-- No two inactive devices have the same code. An expired code that was not superseded counts: a screen may still show it.
CREATE UNIQUE INDEX devices_unclaimed_code ON devices (pairing_code) WHERE status = 'inactive';
-- The device that was claimed with a code, for the answer that the code was used.
CREATE INDEX devices_used_code ON devices (pairing_code, claimed_at) WHERE status IN ('claimed', 'activated');
-- Pages of one merchant's devices.
CREATE INDEX devices_of_merchant ON devices (merchant_id, device_id);
-- Pages of the devices at one location.
CREATE INDEX devices_at_location ON devices (location_id, device_id) WHERE location_id IS NOT NULL;

CREATE TABLE device_events (
    device_id   text COLLATE "C" NOT NULL REFERENCES devices,
    sequence    bigint      NOT NULL,
    merchant_id uuid        NOT NULL,
    at          timestamptz NOT NULL,
    actor       text        NOT NULL,
    kind        text        NOT NULL,
    client_ip   text,
    trace_id    text,
    hash        bytea,

    -- Also rejects a second change of one version.
    PRIMARY KEY (device_id, sequence),
    CONSTRAINT device_events_sequence_positive CHECK (sequence >= 1),
    CONSTRAINT device_events_actor_word
        CHECK (actor IN ('terminal', 'operator', 'identity_provider')
            OR (actor ~ '^user:' AND octet_length(actor) BETWEEN 6 AND 260 AND actor !~ '[\u0001-\u001F\u007F-\u009F]')),
    CONSTRAINT device_events_kind_word
        CHECK (kind IN ('provisioned', 'pairing_code_issued', 'claimed', 'activated', 'released', 'updated',
            'transferred', 'decommissioned')),
    CONSTRAINT device_events_provisioned_first CHECK ((kind = 'provisioned') = (sequence = 1)),
    CONSTRAINT device_events_client_ip_form CHECK (client_ip ~ '^[0-9a-f:.]{2,45}$'),
    CONSTRAINT device_events_trace_form CHECK (trace_id ~ '^[0-9a-f]{32}$' AND trace_id ~ '[^0]'),
    CONSTRAINT device_events_hash_form CHECK (octet_length(hash) = 32)
);

COMMENT ON TABLE device_events IS
    'Audit trail of the devices: one event for each change, without codes, tokens or keys.';
COMMENT ON COLUMN device_events.device_id IS 'Device that changed.';
COMMENT ON COLUMN device_events.sequence IS 'Version of the device after the change: 1, 2, 3 and so on, without gaps.';
COMMENT ON COLUMN device_events.merchant_id IS 'Merchant of the device after the change.';
COMMENT ON COLUMN device_events.at IS 'When it happened, by the server''s clock.';
COMMENT ON COLUMN device_events.actor IS 'Author: terminal, operator, identity_provider, or user: and the subject.';
COMMENT ON COLUMN device_events.kind IS
    'provisioned, pairing_code_issued, claimed, activated, released, updated, transferred or decommissioned.';
COMMENT ON COLUMN device_events.client_ip IS 'IP address of the caller; null for the command line.';
COMMENT ON COLUMN device_events.trace_id IS
    'Trace id of the request, as in the log and in X-Trace-Id; null for the command line.';
COMMENT ON COLUMN device_events.hash IS
    'SHA-256 over this event and the previous hash; null for an event outside the hash chain.';

-- Export of all devices' events by time.
CREATE INDEX device_events_by_time ON device_events (at, device_id, sequence);

CREATE TABLE past_pairing_codes (
    device_id    text COLLATE "C" NOT NULL,
    sequence     bigint           NOT NULL,
    pairing_code text COLLATE "C" NOT NULL,
    ended_as     text             NOT NULL,
    ended_at     timestamptz      NOT NULL,

    PRIMARY KEY (device_id, sequence),
    FOREIGN KEY (device_id, sequence) REFERENCES device_events,
    CONSTRAINT past_pairing_codes_code_form CHECK (pairing_code ~ '^[A-HJ-NP-Z2-9]{6}$'),
    CONSTRAINT past_pairing_codes_end_word CHECK (ended_as IN ('superseded', 'used'))
);

COMMENT ON TABLE past_pairing_codes IS
    'Codes that are no longer the current code of a device, to distinguish them from codes that never existed.';
COMMENT ON COLUMN past_pairing_codes.device_id IS 'Device that had the code.';
COMMENT ON COLUMN past_pairing_codes.sequence IS 'Event that ended the code. An event ends at most one code.';
COMMENT ON COLUMN past_pairing_codes.pairing_code IS 'The code. It may have been issued again since.';
COMMENT ON COLUMN past_pairing_codes.ended_as IS
    'superseded (a new code, a transfer or the decommissioning ended it) or used (the device was claimed with it).';
COMMENT ON COLUMN past_pairing_codes.ended_at IS 'When it ended.';

-- The latest end of a code.
CREATE INDEX past_pairing_codes_latest ON past_pairing_codes (pairing_code, ended_at DESC);
-- Expired rows, oldest first.
CREATE INDEX past_pairing_codes_purge ON past_pairing_codes (ended_at);
