//! Who belongs to whom, and who may do what: reseller → merchant → location → device.
//!
//! A user or an API client is a [`Member`] of one [`Party`], a merchant or a reseller, with a [`Role`] there. How a
//! party stands to a merchant is its [`Relation`], and [`permit`] says what a role in a relation may do. A [`Session`]
//! is what a bearer token's session was resolved to once, for the requests that follow (contract, section 4).

mod api_client;
mod ids;
mod parties;
mod permit;
mod role;
mod session;

pub use api_client::{ApiClient, ApiClientId, InvalidApiClientId, SecretHash};
pub use ids::{GrantId, InvalidName, LocationId, Name, ResellerId};
pub use parties::{Location, Member, Membership, Merchant, Party, Relation, Reseller, Scope};
pub use permit::{Action, Denial, permit};
pub use role::{Role, UnknownRole};
pub use session::{
    EndedToken, InvalidSessionKey, InvalidSlug, Place, Session, SessionKey, SessionToken, Slug, TokenKey,
};
