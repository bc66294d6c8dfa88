//! What several commands take.

use clap::Args;
use uuid::Uuid;

/// A merchant or a reseller.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
pub struct OneParty {
    /// The merchant
    #[arg(long, value_name = "UUID")]
    pub merchant: Option<Uuid>,
    /// The reseller
    #[arg(long, value_name = "UUID")]
    pub reseller: Option<Uuid>,
}

/// A merchant or a reseller, or all of them.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
pub struct AnyParty {
    /// Only this merchant's
    #[arg(long, value_name = "UUID")]
    pub merchant: Option<Uuid>,
    /// Only this reseller's
    #[arg(long, value_name = "UUID")]
    pub reseller: Option<Uuid>,
}

/// Which part of a list, and how it is shown.
#[derive(Debug, Args)]
pub struct Page {
    /// Only those after this id: the last one of the page before
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}
