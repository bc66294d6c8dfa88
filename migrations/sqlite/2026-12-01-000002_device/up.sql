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
-- The code decides which transition is legal. The constraints reject rows that fit no state, whatever wrote them. Instants
-- are microseconds since 1970-01-01T00:00:00Z, so that they compare as numbers; ids of merchants and locations are
-- hyphenated lower-case UUIDs. No constraint compares instants that two processes took from their own clocks, except for
-- one rule of the product: a code is claimed before it expires.

-- One row for each device with its current pairing code: an aggregate with optimistic locking.
CREATE TABLE devices (
    -- Id of the terminal, set at the factory: POS- and, for new devices, eight upper-case hex digits.
    device_id         TEXT    NOT NULL PRIMARY KEY,
    -- Merchant that the device belongs to, claimed or not.
    merchant_id       TEXT    NOT NULL,
    -- Number of changes, from 1. A change is saved only if the version is still the one that was loaded.
    version           INTEGER NOT NULL,
    -- When it was provisioned, by the server's clock.
    provisioned_at    INTEGER NOT NULL,
    -- inactive, claimed, activated or decommissioned.
    status            TEXT    NOT NULL,
    -- Current code: pending or expired while the device is inactive, afterwards the code it was claimed with.
    pairing_code      TEXT,
    -- When the current code was issued.
    code_issued_at    INTEGER,
    -- First instant at which the current code has expired.
    code_expires_at   INTEGER,
    -- User who claimed it: the subject at the identity provider.
    claimed_by        TEXT,
    -- When it was claimed.
    claimed_at        INTEGER,
    -- When the terminal reported that it is ready for payments.
    activated_at      INTEGER,
    -- When it was decommissioned.
    decommissioned_at INTEGER,
    -- Display name, for example of the till where it is: 1 to 200 characters.
    label             TEXT,
    -- Location where it is, one of its merchant.
    location_id       TEXT,
    -- Terminal info: application version last reported. No rule reads it, and it does not change the version.
    app_version       TEXT,
    -- Terminal info: operating system last reported.
    os                TEXT,
    -- Terminal info: hardware model last reported.
    model             TEXT,
    -- When the terminal info was reported.
    seen_at           INTEGER,
    -- Sequence of the first event of its hash chain; null before the first chained event.
    chain_start       INTEGER,
    -- Hash of the last event of its hash chain, which shows that no event at the end is missing.
    chain_tip         BLOB,

    CONSTRAINT devices_merchant FOREIGN KEY (merchant_id) REFERENCES merchants,
    -- Not checked while location_id is null.
    CONSTRAINT devices_own_location FOREIGN KEY (merchant_id, location_id) REFERENCES locations (merchant_id, location_id),
    CONSTRAINT devices_id_form CHECK (
        length(CAST(device_id AS BLOB)) BETWEEN 4 AND 64 AND device_id GLOB 'POS-*' AND device_id NOT GLOB '*[^!-~]*'
    ),
    CONSTRAINT devices_merchant_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT devices_version_positive CHECK (version >= 1),
    CONSTRAINT devices_status_word CHECK (status IN ('inactive', 'claimed', 'activated', 'decommissioned')),
    CONSTRAINT devices_code_form CHECK (
        length(CAST(pairing_code AS BLOB)) = 6 AND pairing_code NOT GLOB '*[^A-HJ-NP-Z2-9]*'
    ),
    CONSTRAINT devices_code_complete CHECK (
        (pairing_code IS NULL) = (code_issued_at IS NULL) AND (pairing_code IS NULL) = (code_expires_at IS NULL)
    ),
    CONSTRAINT devices_claimed_by_form CHECK (
        length(CAST(claimed_by AS BLOB)) BETWEEN 1 AND 255
        AND claimed_by NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        AND instr(claimed_by, char(0)) = 0
    ),
    CONSTRAINT devices_status_columns CHECK (
        CASE status
            WHEN 'inactive' THEN claimed_by IS NULL AND claimed_at IS NULL AND activated_at IS NULL
                AND decommissioned_at IS NULL
            WHEN 'claimed' THEN pairing_code IS NOT NULL AND claimed_by IS NOT NULL AND claimed_at IS NOT NULL
                AND activated_at IS NULL AND decommissioned_at IS NULL
            WHEN 'activated' THEN pairing_code IS NOT NULL AND claimed_by IS NOT NULL AND claimed_at IS NOT NULL
                AND activated_at IS NOT NULL AND decommissioned_at IS NULL
            WHEN 'decommissioned' THEN pairing_code IS NULL AND claimed_by IS NULL AND claimed_at IS NULL
                AND activated_at IS NULL AND decommissioned_at IS NOT NULL
            ELSE TRUE -- devices_status_word rejects it
        END
    ),
    CONSTRAINT devices_claimed_in_time CHECK (claimed_at < code_expires_at),
    CONSTRAINT devices_label_form CHECK (
        length(label) BETWEEN 1 AND 200
        AND label NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        AND instr(label, char(0)) = 0
    ),
    CONSTRAINT devices_location_form CHECK (
        length(CAST(location_id AS BLOB)) = 36
        AND location_id GLOB '????????-????-????-????-????????????'
        AND replace(location_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(location_id, '-', '')) = 32
    ),
    CONSTRAINT devices_terminal_info_complete CHECK (
        (app_version IS NULL) = (seen_at IS NULL) AND (seen_at IS NOT NULL OR (os IS NULL AND model IS NULL))
    ),
    CONSTRAINT devices_terminal_info_bounded CHECK (
        length(CAST(app_version AS BLOB)) BETWEEN 1 AND 32 AND length(os) <= 64 AND length(model) <= 64
    ),
    CONSTRAINT devices_chain_complete CHECK ((chain_start IS NULL) = (chain_tip IS NULL)),
    CONSTRAINT devices_chain_form CHECK (chain_start BETWEEN 1 AND version AND length(chain_tip) = 32)
) STRICT, WITHOUT ROWID;

-- No two inactive devices have the same code. An expired code that was not superseded counts: a screen may still show it.
CREATE UNIQUE INDEX devices_unclaimed_code ON devices (pairing_code) WHERE status = 'inactive';
-- The device that was claimed with a code, for the answer that the code was used.
CREATE INDEX devices_used_code ON devices (pairing_code, claimed_at) WHERE status IN ('claimed', 'activated');
-- Pages of one merchant's devices.
CREATE INDEX devices_of_merchant ON devices (merchant_id, device_id);
-- Pages of the devices at one location.
CREATE INDEX devices_at_location ON devices (location_id, device_id) WHERE location_id IS NOT NULL;

-- Audit trail of the devices: one event for each change, without codes, tokens or keys.
CREATE TABLE device_events (
    -- Device that changed.
    device_id   TEXT    NOT NULL REFERENCES devices,
    -- Version of the device after the change: 1, 2, 3 and so on, without gaps.
    sequence    INTEGER NOT NULL,
    -- Merchant of the device after the change.
    merchant_id TEXT    NOT NULL,
    -- When it happened, by the server's clock.
    at          INTEGER NOT NULL,
    -- Author: terminal, operator, identity_provider, or user: and the subject.
    actor       TEXT    NOT NULL,
    -- provisioned, pairing_code_issued, claimed, activated, released, updated, transferred or decommissioned.
    kind        TEXT    NOT NULL,
    -- IP address of the caller; null for the command line.
    client_ip   TEXT,
    -- Trace id of the request, as in the log and in X-Trace-Id; null for the command line.
    trace_id    TEXT,
    -- SHA-256 over this event and the previous hash; null for an event outside the hash chain.
    hash        BLOB,

    -- Also rejects a second change of one version.
    PRIMARY KEY (device_id, sequence),
    CONSTRAINT device_events_sequence_positive CHECK (sequence >= 1),
    CONSTRAINT device_events_merchant_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT device_events_actor_word CHECK (
        actor IN ('terminal', 'operator', 'identity_provider')
        OR (actor GLOB 'user:*' AND length(CAST(actor AS BLOB)) BETWEEN 6 AND 260
            AND actor NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
            AND instr(actor, char(0)) = 0)
    ),
    CONSTRAINT device_events_kind_word
        CHECK (kind IN ('provisioned', 'pairing_code_issued', 'claimed', 'activated', 'released', 'updated',
            'transferred', 'decommissioned')),
    CONSTRAINT device_events_provisioned_first CHECK ((kind = 'provisioned') = (sequence = 1)),
    CONSTRAINT device_events_client_ip_form
        CHECK (length(client_ip) BETWEEN 2 AND 45 AND client_ip NOT GLOB '*[^0-9a-f:.]*'),
    CONSTRAINT device_events_trace_form
        CHECK (length(trace_id) = 32 AND trace_id NOT GLOB '*[^0-9a-f]*' AND trace_id GLOB '*[^0]*'),
    CONSTRAINT device_events_hash_form CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;

-- Export of all devices' events by time.
CREATE INDEX device_events_by_time ON device_events (at, device_id, sequence);

-- Codes that are no longer the current code of a device, to distinguish them from codes that never existed.
CREATE TABLE past_pairing_codes (
    -- Device that had the code.
    device_id    TEXT    NOT NULL,
    -- Event that ended the code. An event ends at most one code.
    sequence     INTEGER NOT NULL,
    -- The code. It may have been issued again since.
    pairing_code TEXT    NOT NULL,
    -- superseded (a new code, a transfer or the decommissioning ended it) or used (the device was claimed with it).
    ended_as     TEXT    NOT NULL,
    -- When it ended.
    ended_at     INTEGER NOT NULL,

    PRIMARY KEY (device_id, sequence),
    FOREIGN KEY (device_id, sequence) REFERENCES device_events,
    CONSTRAINT past_pairing_codes_code_form CHECK (
        length(CAST(pairing_code AS BLOB)) = 6 AND pairing_code NOT GLOB '*[^A-HJ-NP-Z2-9]*'
    ),
    CONSTRAINT past_pairing_codes_end_word CHECK (ended_as IN ('superseded', 'used'))
) STRICT, WITHOUT ROWID;

-- The latest end of a code.
CREATE INDEX past_pairing_codes_latest ON past_pairing_codes (pairing_code, ended_at DESC);
-- Expired rows, oldest first.
CREATE INDEX past_pairing_codes_purge ON past_pairing_codes (ended_at);
