-- A device belongs to a merchant that has a row.
--
--    merchants ◀─── devices (merchant_id)
--
-- NOT VALID: rows that are there are looked at by the next migration, so that writers of devices wait only for this
-- statement. Servers of the version before go on writing; what they cannot do any more is to create a device for a
-- merchant that has no row, or to move one there.
ALTER TABLE devices
    ADD CONSTRAINT devices_merchant FOREIGN KEY (merchant_id) REFERENCES merchants NOT VALID;
