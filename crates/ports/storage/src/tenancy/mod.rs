//! Resellers, merchants, locations, members, API clients and sessions.

mod clients;
mod directory;
mod locations;
mod members;
mod sessions;

pub use clients::{ApiClientRepository, ClientFailureRepository, GrantError};
pub use directory::{AddPartyError, DirectoryRepository, MerchantPage};
pub use locations::{AddLocationError, LocationPage, LocationRepository};
pub use members::MemberRepository;
pub use sessions::{Logout, SessionRepository, StartError};
