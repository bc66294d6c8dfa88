-- Devices of merchants that have no row: each such merchant gets one, named by its id, with an event of its own in the
-- audit trail. No device is changed or removed.
--
-- By now no other can come, so the key holds for all rows. VALIDATE reads the table and keeps nobody from writing to it.
WITH added AS (
    INSERT INTO merchants (merchant_id, name, created_at)
    SELECT merchant_id, merchant_id::text, min(provisioned_at)
    FROM devices
    WHERE NOT EXISTS (SELECT FROM merchants WHERE merchants.merchant_id = devices.merchant_id)
    GROUP BY merchant_id
    ON CONFLICT (merchant_id) DO NOTHING
    RETURNING merchant_id
)
INSERT INTO audit_events (at, actor, merchant_id, kind, subject)
SELECT now(), 'operator', merchant_id, 'merchant_added', 'merchant:' || merchant_id
FROM added ORDER BY merchant_id;

ALTER TABLE devices VALIDATE CONSTRAINT devices_merchant;
