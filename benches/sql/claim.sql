-- The three statements of a claim: the device by its code and the claimant's failed attempts, as the PostgreSQL adapter
-- reads them, and a save of one device by a statement for one row. Each client claims its own range of devices, which
-- have codes already. chr(58) is a colon, which pgbench would take for the start of a variable.
\set i :i + 1
\set n :first + :client_id * :each + :i - 1
\set claimant random(0, :claimants - 1)
WITH input AS (SELECT bench_code(:n) AS code), waiting AS (
    SELECT devices.* FROM devices, input WHERE pairing_code = code AND status = 'inactive'
), used AS (
    SELECT devices.* FROM devices, input
    WHERE pairing_code = code AND status IN ('claimed', 'activated')
    ORDER BY claimed_at DESC LIMIT 1
)
SELECT device_id, merchant_id, version, provisioned_at, status, pairing_code, code_issued_at,
    code_expires_at, claimed_by, claimed_at, activated_at, app_version, os, model, seen_at, chain_start, chain_tip,
    decommissioned_at, label, location_id
FROM (SELECT * FROM waiting UNION ALL SELECT * FROM used) AS either
ORDER BY (status = 'inactive') DESC LIMIT 1
\gset
SELECT scope, subject, window_started_at, failures FROM claim_failures
WHERE (scope = 'merchant' AND subject = :merchant_id) OR (scope = 'user' AND subject = 'bench-' || :claimant::text);
WITH input AS (
    SELECT :device_id::text AS device_id, :version::bigint AS expected, :version::bigint + 1 AS version,
        :merchant_id::uuid AS merchant_id, 'claimed'::text AS status, :pairing_code::text AS pairing_code,
        :code_issued_at::timestamptz AS code_issued_at, :code_expires_at::timestamptz AS code_expires_at,
        'bench-' || :claimant::text AS claimed_by, now() AS claimed_at, NULL::timestamptz AS activated_at,
        NULL::timestamptz AS decommissioned_at, NULL::text AS label, NULL::uuid AS location_id, now() AS at,
        'user' || chr(58) || 'bench-' || :claimant::text AS actor, 'claimed'::text AS kind, NULL::text AS ended_code,
        NULL::text AS ended_as, NULL::timestamptz AS ended_at,
        '127.0.0.1'::text AS client_ip, repeat('a', 32) AS trace_id, 1::bigint AS chain_start,
        decode(repeat('ab', 32), 'hex') AS hash
), changed AS (
    UPDATE devices
    SET version = input.version, merchant_id = input.merchant_id, status = input.status,
        pairing_code = input.pairing_code, code_issued_at = input.code_issued_at,
        code_expires_at = input.code_expires_at, claimed_by = input.claimed_by,
        claimed_at = input.claimed_at, activated_at = input.activated_at,
        decommissioned_at = input.decommissioned_at, label = input.label, location_id = input.location_id,
        chain_start = input.chain_start, chain_tip = input.hash
    FROM input
    WHERE devices.device_id = input.device_id AND devices.version = input.expected
    RETURNING devices.device_id
), audited AS (
    INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, client_ip, trace_id, kind, hash)
    SELECT device_id, version, merchant_id, at, actor, client_ip, trace_id, kind, hash FROM input
    WHERE EXISTS (SELECT FROM changed)
), ended AS (
    INSERT INTO past_pairing_codes (device_id, sequence, pairing_code, ended_as, ended_at)
    SELECT device_id, version, ended_code, ended_as, ended_at FROM input
    WHERE ended_code IS NOT NULL AND EXISTS (SELECT FROM changed)
)
SELECT count(*) FROM changed;
