//! What several use cases share: authorization, idempotency, optimistic updates, pages and randomness.

pub(crate) mod authorization;
pub(crate) mod error;
pub(crate) mod idempotency;
pub(crate) mod optimistic_update;
pub(crate) mod page;
pub(crate) mod random;
pub(crate) mod response;

pub use authorization::{Authorization, MerchantAuthorization};
pub use error::{FleetError, StateRefusal};
pub use idempotency::Idempotency;
pub use page::Page;
pub use response::{Encode, EncodedResponse, ResponseEncoder, SerializeError};

/// Attempts of a use case before it gives up after conflicts. Every conflict is a success of another request on the same
/// device, so only a flood of requests for one device gets near this number.
pub(crate) const MAX_ATTEMPTS: usize = 256;
