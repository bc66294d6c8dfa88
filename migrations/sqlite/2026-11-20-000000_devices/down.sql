DROP TABLE claim_failures;
DROP TABLE ended_pairing_codes;
DROP TABLE device_events;
DROP TABLE devices;
