pub mod add_and_list;
pub mod creation;
pub mod devices;
pub mod import_races;
pub mod import_upkeep;
pub mod imports;
