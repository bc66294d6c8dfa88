//! Files of devices over real HTTP, on both engines.

mod bad_calls;
mod cut_short;
mod files;
mod keys;
mod memory;
mod refusals;
mod world;
