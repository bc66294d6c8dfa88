pub mod directory;
pub(crate) mod fixtures;
pub mod locations;
pub mod members;
pub mod sessions;
