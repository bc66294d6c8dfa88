-- The write of a new code: a save of one device by a statement for one row. The current row, which the use case reads
-- with a separate statement, is read in the same statement. Each device has its own range of random codes, so that codes
-- never collide: pgbench would stop there, while the server retries.
\set n random(:first, :first + :devices - 1)
\set code (:n - :first) * (1073741824 / :devices) + random(0, 1073741824 / :devices - 1)
WITH old AS (
    SELECT device_id, version, merchant_id, pairing_code, label, location_id FROM devices WHERE device_id = 'POS-' || :n::text
), input AS (
    SELECT device_id, version AS expected, version + 1 AS version, merchant_id, 'inactive'::text AS status,
        bench_code(:code) AS pairing_code, now() AS code_issued_at, now() + interval '300 s' AS code_expires_at,
        NULL::text AS claimed_by, NULL::timestamptz AS claimed_at, NULL::timestamptz AS activated_at,
        NULL::timestamptz AS decommissioned_at, label, location_id, now() AS at,
        'terminal'::text AS actor, 'pairing_code_issued'::text AS kind, pairing_code AS ended_code,
        'superseded'::text AS ended_as, now() AS ended_at,
        '127.0.0.1'::text AS client_ip, repeat('a', 32) AS trace_id, 1::bigint AS chain_start,
        decode(repeat('ab', 32), 'hex') AS hash
    FROM old
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
