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

CREATE TABLE imports (
    import_id       uuid             PRIMARY KEY,
    owner           text COLLATE "C" NOT NULL,
    mode            text             NOT NULL,
    actor           text             NOT NULL,
    client_ip       text,
    trace_id        text,
    idempotency_key text COLLATE "C",
    fingerprint     bytea,
    row_count       bigint,
    state           text             NOT NULL,
    refused_row     bigint,
    created_at      timestamptz      NOT NULL,
    expires_at      timestamptz      NOT NULL,

    CONSTRAINT imports_owner_form
        CHECK (owner = 'operator' OR owner ~ '^(merchant|reseller):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
    CONSTRAINT imports_mode_word CHECK (mode IN ('all_or_nothing', 'best_effort')),
    CONSTRAINT imports_actor_word
        CHECK (actor = 'operator'
            OR (actor ~ '^user:' AND octet_length(actor) BETWEEN 6 AND 260 AND actor !~ '[\u0001-\u001F\u007F-\u009F]')),
    CONSTRAINT imports_client_ip_form CHECK (client_ip ~ '^[0-9a-f:.]{2,45}$'),
    CONSTRAINT imports_trace_form CHECK (trace_id ~ '^[0-9a-f]{32}$' AND trace_id ~ '[^0]'),
    CONSTRAINT imports_key_form CHECK (idempotency_key ~ '^[!-~]{1,255}$'),
    CONSTRAINT imports_fingerprint_form CHECK (octet_length(fingerprint) = 32),
    CONSTRAINT imports_counts CHECK (row_count >= 0 AND (refused_row IS NULL OR refused_row BETWEEN 1 AND row_count)),
    CONSTRAINT imports_state_word CHECK (state IN ('uploading', 'uploaded', 'applied', 'refused', 'discarded')),
    CONSTRAINT imports_state_columns CHECK (
        num_nonnulls(fingerprint, row_count) = CASE WHEN state IN ('uploading', 'discarded') THEN 0 ELSE 2 END
        AND (refused_row IS NOT NULL) = (state = 'refused')
        AND (state <> 'discarded' OR idempotency_key IS NULL)
    )
);

COMMENT ON TABLE imports IS 'Files of devices that were sent, each until its idempotency key expires.';
COMMENT ON COLUMN imports.import_id IS 'Id of the import.';
COMMENT ON COLUMN imports.owner IS 'Scope of the import: operator, or merchant: or reseller: and the id.';
COMMENT ON COLUMN imports.mode IS
    'all_or_nothing (one refused row refuses the import) or best_effort (each row on its own).';
COMMENT ON COLUMN imports.actor IS
    'Author: operator, or user: and the subject. It is also the actor of the devices'' first events.';
COMMENT ON COLUMN imports.client_ip IS 'IP address of the caller; null for the command line.';
COMMENT ON COLUMN imports.trace_id IS 'Trace id of the request; null for the command line.';
COMMENT ON COLUMN imports.idempotency_key IS 'Idempotency key of the caller; null without one.';
COMMENT ON COLUMN imports.fingerprint IS
    'SHA-256 over the request with the whole file; null while it is uploading or discarded.';
COMMENT ON COLUMN imports.row_count IS 'Number of rows; null while it is uploading or discarded.';
COMMENT ON COLUMN imports.state IS 'uploading, uploaded, applied, refused or discarded.';
COMMENT ON COLUMN imports.refused_row IS
    'First refused row, because of which nothing was imported; null unless state is refused.';
COMMENT ON COLUMN imports.created_at IS 'When the upload began, by the server''s clock.';
COMMENT ON COLUMN imports.expires_at IS 'First instant at which it can be discarded.';

-- Of concurrent uploads with one key, one becomes uploaded.
CREATE UNIQUE INDEX imports_key ON imports (owner, idempotency_key) WHERE state <> 'uploading';
CREATE INDEX imports_expires_at ON imports (expires_at);

CREATE TABLE import_rows (
    import_id   uuid   NOT NULL REFERENCES imports,
    row_number  bigint NOT NULL,
    device_id   text COLLATE "C",
    merchant_id uuid,
    label       text,
    location_id uuid,
    outcome     text,
    detail      text,

    PRIMARY KEY (import_id, row_number),
    CONSTRAINT import_rows_number_positive CHECK (row_number >= 1),
    CONSTRAINT import_rows_id_form CHECK (octet_length(device_id) BETWEEN 4 AND 64 AND device_id ~ '^POS-[!-~]*$'),
    CONSTRAINT import_rows_label_form
        CHECK (length(label) BETWEEN 1 AND 200 AND label !~ '[\u0001-\u001F\u007F-\u009F]'),
    CONSTRAINT import_rows_outcome_word
        CHECK (outcome IN ('provisioned', 'malformed', 'invalid_device_id', 'invalid_merchant_id', 'invalid_label',
            'invalid_location_id', 'unknown_merchant', 'unknown_location', 'duplicate', 'taken')),
    CONSTRAINT import_rows_detail_form
        CHECK ((detail IS NOT NULL) = (coalesce(outcome, '') IN ('malformed', 'duplicate')) AND length(detail) <= 200),
    CONSTRAINT import_rows_outcome_columns
        CHECK ((outcome IS NOT NULL AND outcome <> 'provisioned') OR num_nulls(device_id, merchant_id) = 0)
) WITH (fillfactor = 85); -- free space on each page for updates of the outcomes, which touch no index

COMMENT ON TABLE import_rows IS 'Rows of imports as they were read, with their outcomes.';
COMMENT ON COLUMN import_rows.import_id IS 'Import of the row.';
COMMENT ON COLUMN import_rows.row_number IS 'Number of the row among the data rows of the file, from 1.';
COMMENT ON COLUMN import_rows.device_id IS 'Device that it names; null if it names none that can be stored.';
COMMENT ON COLUMN import_rows.merchant_id IS 'Merchant of the device; null if the row could not be read.';
COMMENT ON COLUMN import_rows.label IS 'Label of the device.';
COMMENT ON COLUMN import_rows.location_id IS 'Location of the device.';
COMMENT ON COLUMN import_rows.outcome IS
    'provisioned, or the reason of the refusal; null while the row has no outcome of its own.';
COMMENT ON COLUMN import_rows.detail IS 'Error of a malformed row, or the number of the earlier row of a duplicate.';

-- Rows that name one device; all rows in the order in which devices are created.
CREATE INDEX import_rows_of_device ON import_rows (import_id, device_id, row_number);

CREATE TABLE idempotency_keys (
    party_kind      text             NOT NULL,
    party_id        uuid             NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    fingerprint     bytea            NOT NULL,
    response        text             NOT NULL,
    created_at      timestamptz      NOT NULL,
    expires_at      timestamptz      NOT NULL,

    -- Of concurrent requests with one key, the second waits here until the first is committed or rolled back.
    PRIMARY KEY (party_kind, party_id, idempotency_key),
    CONSTRAINT idempotency_keys_kind_word CHECK (party_kind IN ('merchant', 'reseller')),
    CONSTRAINT idempotency_keys_key_form CHECK (idempotency_key ~ '^[!-~]{1,255}$'),
    CONSTRAINT idempotency_keys_fingerprint_form CHECK (octet_length(fingerprint) = 32)
);

COMMENT ON TABLE idempotency_keys IS
    'Responses of create requests, stored in their transaction, so that a retry creates nothing more.';
COMMENT ON COLUMN idempotency_keys.party_kind IS 'merchant or reseller: the kind of party that used the key.';
COMMENT ON COLUMN idempotency_keys.party_id IS 'Merchant or reseller that used the key.';
COMMENT ON COLUMN idempotency_keys.idempotency_key IS 'Idempotency key of the caller.';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 over the request.';
COMMENT ON COLUMN idempotency_keys.response IS 'Response to the request, returned again to a retry.';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When the request was processed, by the server''s clock.';
COMMENT ON COLUMN idempotency_keys.expires_at IS
    'First instant at which the row can be deleted and the key used again.';

CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at);
