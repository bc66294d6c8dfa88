DROP TABLE idempotency_keys;
DROP TABLE import_rows;
DROP TABLE imports;
