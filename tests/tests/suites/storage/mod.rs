//! Both engines: the contract, what the databases refuse by themselves, migrations, and bad days.

mod bad_days;
mod corrupt_rows;
mod illegal_rows;
mod illegal_tenancy_rows;
mod migrations;
mod replicas;

/// Every case of the storage contract, on PostgreSQL.
mod postgres {
    pos_port_storage::storage_suite!(pos_tests::stores::postgres().await);
}

/// Every case of the storage contract, on SQLite.
mod sqlite {
    pos_port_storage::storage_suite!(pos_tests::stores::sqlite().await);
}
