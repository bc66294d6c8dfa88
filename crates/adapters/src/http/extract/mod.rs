//! From a request to typed values, or to a typed failure.

mod authorized;
mod caller;
mod context;
mod form;
mod header;
mod json;
mod merchant;
mod prefer;
mod terminal;

pub(super) use authorized::Authorized;
pub(super) use caller::Caller;
pub(super) use context::Context;
pub(super) use form::ValidForm;
pub(super) use json::{RequestBody, ValidJson};
pub(super) use merchant::Merchant;
pub(super) use prefer::Prefer;
pub(super) use terminal::Terminal;
