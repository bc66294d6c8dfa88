DROP TABLE past_pairing_codes;
DROP TABLE device_events;
DROP TABLE devices;
