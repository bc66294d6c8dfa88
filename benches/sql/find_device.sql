-- The statement of a poll: all columns of a device by its primary key.
\set n random(:first, :first + :devices - 1)
SELECT device_id, merchant_id, version, provisioned_at, status, pairing_code, code_issued_at, code_expires_at, claimed_by, claimed_at, activated_at, app_version, os, model, seen_at, chain_start, chain_tip, decommissioned_at, label, location_id
FROM devices WHERE device_id = 'POS-' || :n::text LIMIT 1;
