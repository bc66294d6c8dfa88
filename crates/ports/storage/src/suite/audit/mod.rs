pub mod admin_events;
pub mod events;
pub mod purge_races;
pub mod retention;
pub mod trail;
