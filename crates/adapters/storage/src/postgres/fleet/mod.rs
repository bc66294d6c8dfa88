pub(crate) mod create;
pub(crate) mod devices;
pub(crate) mod import_lifetime;
pub(crate) mod import_statements;
pub(crate) mod imports;
pub(crate) mod staging;
