//! Who is there, who may act for whom, and the sessions in which they do.

mod close_session;
mod current_session;
mod initiate_session;
mod manage_clients;
mod manage_directory;
mod manage_members;
mod start_client_session;

pub use close_session::{CloseSession, LogOutError};
pub use current_session::{CurrentSession, NotActing};
pub use initiate_session::{Hosts, InitiateSession, InitiateSessionError, InitiatedSession};
pub use manage_clients::{ManageClients, ManageClientsError, NewSecret};
pub use manage_directory::{ManageDirectory, ManageDirectoryError};
pub use manage_members::{ManageMembers, ManageMembersError};
pub use start_client_session::{ClientSession, ClientStores, StartClientSession, StartClientSessionError};
