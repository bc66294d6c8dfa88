//! Tenancy: resellers, merchants, members, API clients, and their sessions.

mod close_session;
mod current_session;
mod initiate_session;
mod manage_clients;
mod manage_directory;
mod manage_locations;
mod manage_members;
mod manage_merchants;
mod session_audit;
mod start_client_session;

pub use close_session::{CloseSession, LogOutError};
pub use current_session::{ActingError, CurrentSession};
pub use initiate_session::{Hosts, InitiateSession, InitiateSessionError, InitiatedSession};
pub use manage_clients::{ManageClients, ManageClientsError, NewSecret};
pub use manage_directory::{ManageDirectory, ManageDirectoryError};
pub use manage_locations::ManageLocations;
pub use manage_members::{ManageMembers, ManageMembersError};
pub use manage_merchants::ManageMerchants;
pub(crate) use start_client_session::ClientStores;
pub use start_client_session::{ClientSession, StartClientSession, StartClientSessionError};
