pub(crate) mod directory;
pub(crate) mod locations;
pub(crate) mod members_and_sessions;
pub(crate) mod statements;
