//! Errors of every layer as one envelope: status, code and safe text.

pub(crate) mod api_error;
pub(crate) mod back_office;
pub(crate) mod code;
pub(crate) mod envelope;
pub(crate) mod sessions;
pub(crate) mod table;
