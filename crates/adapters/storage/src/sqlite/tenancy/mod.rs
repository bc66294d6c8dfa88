pub(crate) mod directory;
pub(crate) mod locations;
pub(crate) mod members_and_clients;
pub(crate) mod parties;
pub(crate) mod sessions;
