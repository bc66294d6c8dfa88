pub mod codes;
pub mod races;
pub mod save;
pub mod terminal_infos;
