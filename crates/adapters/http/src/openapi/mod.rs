//! OpenAPI document, its links and examples, and the page that shows it.

pub(crate) mod docs;
pub(crate) mod document;
pub(crate) mod links;
pub(crate) mod responses;
