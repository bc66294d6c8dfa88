//! Command-line options shared by several commands.

use clap::Args;
use uuid::Uuid;

/// A merchant or a reseller.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
pub struct OneParty {
    /// Merchant id
    #[arg(long, value_name = "UUID")]
    pub merchant: Option<Uuid>,
    /// Reseller id
    #[arg(long, value_name = "UUID")]
    pub reseller: Option<Uuid>,
}

/// A merchant or a reseller; without one, all of them.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
pub struct AnyParty {
    /// Only those of this merchant
    #[arg(long, value_name = "UUID")]
    pub merchant: Option<Uuid>,
    /// Only those of this reseller
    #[arg(long, value_name = "UUID")]
    pub reseller: Option<Uuid>,
}

/// Page of a list, and its output format.
#[derive(Debug, Args)]
pub struct Page {
    /// Only those after this id: the last one of the previous page
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// Maximum number of rows
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}
