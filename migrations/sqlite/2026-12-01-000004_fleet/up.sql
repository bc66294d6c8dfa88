-- Imports of devices with their rows, and idempotency keys of create requests.
--
-- State machine of an import:
--
--    open ----> uploading ---- end of the file ----> uploaded --+-- apply ----------------------------> applied
--                                                               +-- all or nothing, one refused row --> refused
--
--    uploading                               -- the upload fails --> discarded
--    uploading, uploaded, applied, refused   -- expires_at --------> discarded
--    discarded                               -- purge -------------> deleted: its rows first, in batches
--
-- No look-up returns a discarded import. An import in any other state has all rows that were staged.
--
-- Outcome of a row: null while it is pending, then provisioned or the reason of its refusal. A row that cannot be read is
-- refused when it is staged. Rows that are still null when their import is applied or refused have the outcome of the
-- import: provisioned if it is applied, not imported if it is refused. So an all-or-nothing import of a million rows ends
-- with a change of one row.
--
-- Instants are microseconds since 1970-01-01T00:00:00Z; ids of imports, merchants, resellers and locations are hyphenated
-- lower-case UUIDs.

-- Files of devices that were sent, each until its idempotency key expires.
CREATE TABLE imports (
    -- Id of the import.
    import_id       TEXT    NOT NULL PRIMARY KEY,
    -- Scope of the import: operator, or merchant: or reseller: and the id.
    owner           TEXT    NOT NULL,
    -- all_or_nothing (one refused row refuses the import) or best_effort (each row on its own).
    mode            TEXT    NOT NULL,
    -- Author: operator, or user: and the subject. It is also the actor of the devices' first events.
    actor           TEXT    NOT NULL,
    -- IP address of the caller; null for the command line.
    client_ip       TEXT,
    -- Trace id of the request; null for the command line.
    trace_id        TEXT,
    -- Idempotency key of the caller; null without one.
    idempotency_key TEXT,
    -- SHA-256 over the request with the whole file; null while it is uploading or discarded.
    fingerprint     BLOB,
    -- Number of rows; null while it is uploading or discarded.
    row_count       INTEGER,
    -- uploading, uploaded, applied, refused or discarded.
    state           TEXT    NOT NULL,
    -- First refused row, because of which nothing was imported; null unless state is refused.
    refused_row     INTEGER,
    -- When the upload began, by the server's clock.
    created_at      INTEGER NOT NULL,
    -- First instant at which it can be discarded.
    expires_at      INTEGER NOT NULL,

    CONSTRAINT imports_id_form CHECK (
        length(CAST(import_id AS BLOB)) = 36
        AND import_id GLOB '????????-????-????-????-????????????'
        AND replace(import_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(import_id, '-', '')) = 32
    ),
    CONSTRAINT imports_owner_form CHECK (
        owner = 'operator'
        OR (substr(owner, 1, 9) IN ('merchant:', 'reseller:')
            AND length(CAST(owner AS BLOB)) = 45
            AND substr(owner, 10) GLOB '????????-????-????-????-????????????'
            AND replace(substr(owner, 10), '-', '') NOT GLOB '*[^0-9a-f]*'
            AND length(replace(substr(owner, 10), '-', '')) = 32)
    ),
    CONSTRAINT imports_mode_word CHECK (mode IN ('all_or_nothing', 'best_effort')),
    CONSTRAINT imports_actor_word CHECK (
        actor = 'operator'
        OR (actor GLOB 'user:*' AND length(CAST(actor AS BLOB)) BETWEEN 6 AND 260
            AND actor NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
            AND instr(actor, char(0)) = 0)
    ),
    CONSTRAINT imports_client_ip_form
        CHECK (length(client_ip) BETWEEN 2 AND 45 AND client_ip NOT GLOB '*[^0-9a-f:.]*'),
    CONSTRAINT imports_trace_form
        CHECK (length(trace_id) = 32 AND trace_id NOT GLOB '*[^0-9a-f]*' AND trace_id GLOB '*[^0]*'),
    CONSTRAINT imports_key_form CHECK (
        length(CAST(idempotency_key AS BLOB)) BETWEEN 1 AND 255 AND idempotency_key NOT GLOB '*[^!-~]*'
    ),
    CONSTRAINT imports_fingerprint_form CHECK (length(fingerprint) = 32),
    CONSTRAINT imports_counts CHECK (row_count >= 0 AND (refused_row IS NULL OR refused_row BETWEEN 1 AND row_count)),
    CONSTRAINT imports_state_word CHECK (state IN ('uploading', 'uploaded', 'applied', 'refused', 'discarded')),
    CONSTRAINT imports_state_columns CHECK (
        (fingerprint IS NULL) = (state IN ('uploading', 'discarded'))
        AND (row_count IS NULL) = (state IN ('uploading', 'discarded'))
        AND (refused_row IS NOT NULL) = (state = 'refused')
        AND (state <> 'discarded' OR idempotency_key IS NULL)
    )
) STRICT, WITHOUT ROWID;

-- Of concurrent uploads with one key, one becomes uploaded.
CREATE UNIQUE INDEX imports_key ON imports (owner, idempotency_key) WHERE state <> 'uploading';
CREATE INDEX imports_expires_at ON imports (expires_at);

-- Rows of imports as they were read, with their outcomes.
CREATE TABLE import_rows (
    -- Import of the row.
    import_id   TEXT    NOT NULL REFERENCES imports,
    -- Number of the row among the data rows of the file, from 1.
    row_number  INTEGER NOT NULL,
    -- Device that it names; null if it names none that can be stored.
    device_id   TEXT,
    -- Merchant of the device; null if the row could not be read.
    merchant_id TEXT,
    -- Label of the device.
    label       TEXT,
    -- Location of the device.
    location_id TEXT,
    -- provisioned, or the reason of the refusal; null while the row has no outcome of its own.
    outcome     TEXT,
    -- Error of a malformed row, or the number of the earlier row of a duplicate.
    detail      TEXT,

    PRIMARY KEY (import_id, row_number),
    CONSTRAINT import_rows_number_positive CHECK (row_number >= 1),
    CONSTRAINT import_rows_id_form CHECK (
        length(CAST(device_id AS BLOB)) BETWEEN 4 AND 64 AND device_id GLOB 'POS-*' AND device_id NOT GLOB '*[^!-~]*'
    ),
    CONSTRAINT import_rows_merchant_form CHECK (
        length(CAST(merchant_id AS BLOB)) = 36
        AND merchant_id GLOB '????????-????-????-????-????????????'
        AND replace(merchant_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(merchant_id, '-', '')) = 32
    ),
    CONSTRAINT import_rows_label_form CHECK (
        length(label) BETWEEN 1 AND 200
        AND label NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'
        AND instr(label, char(0)) = 0
    ),
    CONSTRAINT import_rows_location_form CHECK (
        length(CAST(location_id AS BLOB)) = 36
        AND location_id GLOB '????????-????-????-????-????????????'
        AND replace(location_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(location_id, '-', '')) = 32
    ),
    CONSTRAINT import_rows_outcome_word
        CHECK (outcome IN ('provisioned', 'malformed', 'invalid_device_id', 'invalid_merchant_id', 'invalid_label',
            'invalid_location_id', 'unknown_merchant', 'unknown_location', 'duplicate', 'taken')),
    CONSTRAINT import_rows_detail_form
        CHECK ((detail IS NOT NULL) = (coalesce(outcome, '') IN ('malformed', 'duplicate')) AND length(detail) <= 200),
    CONSTRAINT import_rows_outcome_columns CHECK (
        (outcome IS NOT NULL AND outcome <> 'provisioned') OR (device_id IS NOT NULL AND merchant_id IS NOT NULL)
    )
) STRICT, WITHOUT ROWID;

-- Rows that name one device; all rows in the order in which devices are created.
CREATE INDEX import_rows_of_device ON import_rows (import_id, device_id, row_number);

-- Responses of create requests, stored in their transaction, so that a retry creates nothing more.
CREATE TABLE idempotency_keys (
    -- merchant or reseller: the kind of party that used the key.
    party_kind      TEXT    NOT NULL,
    -- Merchant or reseller that used the key.
    party_id        TEXT    NOT NULL,
    -- Idempotency key of the caller.
    idempotency_key TEXT    NOT NULL,
    -- SHA-256 over the request.
    fingerprint     BLOB    NOT NULL,
    -- Response to the request, returned again to a retry.
    response        TEXT    NOT NULL,
    -- When the request was processed, by the server's clock.
    created_at      INTEGER NOT NULL,
    -- First instant at which the row can be deleted and the key used again.
    expires_at      INTEGER NOT NULL,

    PRIMARY KEY (party_kind, party_id, idempotency_key),
    CONSTRAINT idempotency_keys_kind_word CHECK (party_kind IN ('merchant', 'reseller')),
    CONSTRAINT idempotency_keys_party_form CHECK (
        length(CAST(party_id AS BLOB)) = 36
        AND party_id GLOB '????????-????-????-????-????????????'
        AND replace(party_id, '-', '') NOT GLOB '*[^0-9a-f]*'
        AND length(replace(party_id, '-', '')) = 32
    ),
    CONSTRAINT idempotency_keys_key_form CHECK (
        length(CAST(idempotency_key AS BLOB)) BETWEEN 1 AND 255 AND idempotency_key NOT GLOB '*[^!-~]*'
    ),
    CONSTRAINT idempotency_keys_fingerprint_form CHECK (length(fingerprint) = 32)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at);
