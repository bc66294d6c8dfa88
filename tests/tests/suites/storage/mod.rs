//! Both engines: the contract, what the databases refuse by themselves, migrations, and bad days.

mod abandoned;
mod access;
mod bad_days;
mod chains;
mod changes;
mod corrupt_rows;
mod crowded_imports;
mod device_merchants;
mod failed_commits;
mod gathered;
mod gathered_saves;
mod hosts;
mod illegal_import_rows;
mod illegal_rows;
mod illegal_tenancy_rows;
mod migrations;
mod plans;
mod pooled;
mod replicas;
mod trail;
mod upgrade;
mod upgrade_filled;

/// Every case of the storage contract, on PostgreSQL.
mod postgres {
    pos_port_storage::storage_suite!(pos_tests::stores::postgres().await);
}

/// Every case of the storage contract, on PostgreSQL through PgBouncer in transaction mode.
mod pgbouncer {
    pos_port_storage::storage_suite!(pos_tests::stores::pgbouncer().await);
}

/// Every case of the storage contract, on SQLite.
mod sqlite {
    pos_port_storage::storage_suite!(pos_tests::stores::sqlite().await);
}
