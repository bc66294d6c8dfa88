//! OpenID provider **for development only**, with the endpoints and tokens of Keycloak, so that the server, its demo and
//! its tests run without one.
//!
//! It must only be reachable by the user who started it: its users' passwords are in a settings file, every client can
//! rotate its keys, and its state is lost when it stops. So it listens on loopback only, its keys never leave the
//! process, and it logs a warning at start. Production builds exclude the crate.
//!
//! It is compatible with Keycloak as far as a relying party uses it: `/realms/{realm}/.well-known/openid-configuration`
//! and `/realms/{realm}/protocol/openid-connect/{certs,token,auth,logout}`, the grants `password`,
//! `client_credentials`, `authorization_code` with PKCE, and `refresh_token`, the claims of the tokens, and the logout
//! token that is sent to a client's back-channel logout address when a user logs out. Two additions are for tests:
//! `POST /realms/{realm}/dev/rotate-keys` rotates the keys, and [`RunningDevIdp::mint`] signs arbitrary claims.

mod backchannel;
mod entropy;
mod error;
mod http;
mod jws;
mod keys;
mod mint;
mod realm;
mod running;
mod sessions;
mod settings;
mod tokens;

pub use error::DevIdpError;
pub use keys::KeyError;
pub use mint::{MintKid, MintOptions, MintSignature};
pub use running::{DevIdp, HaltedDevIdp, RunningDevIdp};
pub use settings::{DevClient, DevIdpSettings, DevUser, SettingsError};
