pub(crate) mod devices;
pub(crate) mod imports;
pub(crate) mod staging;
