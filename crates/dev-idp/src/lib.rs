//! **For development only.** An issuer of tokens with the shapes and the addresses of Keycloak, so that the server, its
//! demo and its tests run without one.
//!
//! It must never face anybody but the person who started it: its users' passwords stand in a settings file, anybody who
//! reaches it can rotate its keys, and it forgets everything when it stops. So it refuses to listen on any address but
//! loopback, its keys never leave the process, and it says loudly at its start what it is. Production builds leave the
//! whole crate out.
//!
//! What it has in common with Keycloak is what a relying party sees: `/realms/{realm}/.well-known/openid-configuration`
//! and `/realms/{realm}/protocol/openid-connect/{certs,token,auth,logout}`, the grants `password`,
//! `client_credentials`, `authorization_code` with PKCE, and `refresh_token`, the claims of the tokens, and the logout
//! token that a client with a back-channel logout address is sent when somebody logs out. Beyond that,
//! `POST /realms/{realm}/dev/rotate-keys` changes the keys, and [`RunningDevIdp::mint`] signs whatever a test wants to
//! see refused.

mod backchannel;
mod entropy;
mod http;
mod jws;
mod keys;
mod mint;
mod realm;
mod running;
mod sessions;
mod settings;
mod tokens;

pub use keys::KeyFault;
pub use mint::{MintKid, MintOptions, MintSignature};
pub use running::{DevIdp, DevIdpError, HaltedDevIdp, RunningDevIdp};
pub use settings::{DevClient, DevIdpSettings, DevUser, SettingsError};
