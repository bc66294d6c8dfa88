//! Tenancy and authorization: reseller → merchant → location → device.
//!
//! A user or an API client is a [`Member`] of one [`Party`](crate::shared::Party) (a merchant or a reseller) with a [`Role`](crate::shared::Role). A [`Relation`]
//! relates the party to a merchant, and [`authorize`] decides what a role in a relation may do. A [`Session`] caches
//! what a bearer token was resolved to, for the requests that follow (contract, section 4).

mod api_client;
mod authorization;
mod parties;
mod session;

pub use api_client::{ApiClient, SecretHash};
pub use authorization::{Action, Denial, authorize};
pub use parties::{Location, Member, Membership, Merchant, Relation, Reseller};
pub use session::{
    ClientApp, InvalidSessionKey, InvalidSlug, RevokedToken, Session, SessionKey, SessionToken, Slug, TokenKey,
};
