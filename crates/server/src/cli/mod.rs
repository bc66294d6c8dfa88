//! What can be typed after `pos-server`.

#[cfg(feature = "dev-idp")]
mod development;
mod shared;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use pos_adapters::import::ImportFormat;
use pos_domain::{IdempotencyKey, ImportMode, Role};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

#[cfg(feature = "dev-idp")]
pub use development::{Demo, DevIdp};
pub use shared::{AnyParty, OneParty, Page};

/// Pairs and activates payment terminals.
///
/// Settings come from the built-in defaults, then from --config, then from environment variables named
/// POS__SECTION__KEY (for example POS__DATABASE__URL). `check-config` shows what they come to.
#[derive(Debug, Parser)]
#[command(name = "pos-server", version, arg_required_else_help = true)]
pub struct Cli {
    /// A TOML file laid over the built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API until told to stop (SIGTERM, SIGHUP or Ctrl-C; a second one stops at once)
    Serve(Serve),
    /// Bring the database's schema up to date, and say what was done
    Migrate,
    /// Copy the embedded SQLite database, as of this moment, while it is in use
    Backup {
        /// The file to make; it must not be there yet
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Show the settings in force, where each comes from, and every fault among them
    CheckConfig,
    /// Remove rows that are over, once: codes, sessions, kept answers and the like, and old events if that is set
    Reclaim(Reclaim),
    /// Make terminals known, look at them, take them back or out of use
    #[command(subcommand)]
    Device(Device),
    /// Verify the audit trail, or write it out
    #[command(subcommand)]
    Audit(Audit),
    /// Make resellers known
    #[command(subcommand)]
    Reseller(Reseller),
    /// Make merchants known
    #[command(subcommand)]
    Merchant(Merchant),
    /// Make the places known where a merchant's terminals stand
    #[command(subcommand)]
    Location(Location),
    /// Say which users act for a merchant or a reseller, and as what
    #[command(subcommand)]
    Member(Member),
    /// Make API clients, with which machines act for a merchant or a reseller
    #[command(subcommand)]
    Client(Client),
    /// Show the whole flow with a simulated terminal, then keep serving to play with; needs no set-up
    #[cfg(feature = "dev-idp")]
    Demo(Demo),
    /// Run the development token issuer alone, on loopback
    #[cfg(feature = "dev-idp")]
    DevIdp(DevIdp),
}

/// How to serve.
#[derive(Debug, Args)]
pub struct Serve {
    /// Write the bound address (host:port) to FILE once connections are accepted
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
    /// Refuse to start when the schema is not up to date, rather than migrating it
    #[arg(long)]
    pub no_migrate: bool,
}

/// How to remove rows that are over.
#[derive(Debug, Args)]
pub struct Reclaim {
    /// Only count them
    #[arg(long)]
    pub dry_run: bool,
}

/// What to do with devices.
#[derive(Debug, Subcommand)]
pub enum Device {
    /// Provision devices for a merchant and print their ids
    Add {
        /// The merchant they belong to
        #[arg(long, value_name = "UUID")]
        merchant: Uuid,
        /// The id of the device, POS- and eight upper-case hex digits; drawn at random when left out
        #[arg(long, value_name = "POS-XXXXXXXX")]
        device_id: Option<String>,
        /// How many devices, with ids drawn at random: 1 to 100000; more than 1000 are asked about first
        #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "device_id",
              value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: u32,
        /// Go on without being asked
        #[arg(long)]
        yes: bool,
    },
    /// Provision the devices that a file names and print the rows that are refused; exit status 1 if any is
    Import(Import),
    /// List devices, in the order of their ids
    List {
        /// Only this merchant's
        #[arg(long, value_name = "UUID")]
        merchant: Option<Uuid>,
        /// Only those after this id: the last one of the page before
        #[arg(long, value_name = "POS-XXXXXXXX")]
        after: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show one device and what happened to it
    Show {
        /// The device
        device_id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a claimed or activated device back to inactive, so that it can be paired again
    Release {
        /// The device
        device_id: String,
    },
    /// Change what is kept of a device: its label and its location
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
    Edit {
        /// The device
        device_id: String,
        /// What people call it
        #[arg(long, value_name = "TEXT", group = "change")]
        label: Option<String>,
        /// Take its label away
        #[arg(long, group = "change", conflicts_with = "label")]
        no_label: bool,
        /// Where it stands: a location of its merchant
        #[arg(long, value_name = "UUID", group = "change")]
        location: Option<Uuid>,
        /// Say that it stands nowhere
        #[arg(long, group = "change", conflicts_with = "location")]
        no_location: bool,
    },
    /// Give an inactive device to another merchant; its label and location stay behind
    Move {
        /// The device
        device_id: String,
        /// The merchant it is to belong to
        #[arg(long, value_name = "UUID")]
        merchant: Uuid,
    },
    /// Take a device out of use for good, whatever it is doing
    Decommission {
        /// The device
        device_id: String,
    },
}

/// Which devices to import, and how.
#[derive(Debug, Args)]
pub struct Import {
    /// A file with the columns device_id, merchant_id and, if you like, label and location_id; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// all_or_nothing: one refused row refuses all; best_effort: each row for itself
    #[arg(long, default_value_t, value_name = "MODE")]
    pub mode: ImportMode,
    /// csv, which begins with a line that names the columns, or jsonl, a JSON object a line; by the file's name when
    /// left out
    #[arg(long, value_name = "FORMAT", value_parser = import_format)]
    pub format: Option<ImportFormat>,
    /// A name for this import: with the same name and file it goes on where it was cut short, and does nothing twice
    #[arg(long, value_name = "KEY", value_parser = IdempotencyKey::parse)]
    pub idempotency_key: Option<IdempotencyKey>,
    /// The refused rows and the totals as JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

fn import_format(word: &str) -> Result<ImportFormat, String> {
    ImportFormat::of_extension(word).ok_or_else(|| "must be csv or jsonl".to_owned())
}

/// What to do with the audit trail.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Follow the chain of every device's events and print what is wrong; exit status 1 if anything is
    Verify {
        /// Only this device
        #[arg(long, value_name = "POS-XXXXXXXX")]
        device: Option<String>,
        /// Do not object to events outside their chain, which servers of the version before chains write while the
        /// replicas are replaced one by one
        #[arg(long)]
        allow_unsealed: bool,
    },
    /// Write all events and refused claims, one JSON object a line, in the order of time
    Export {
        /// Nothing before this instant, like 2026-01-02T00:00:00Z
        #[arg(long, value_name = "RFC3339", value_parser = instant)]
        since: Option<OffsetDateTime>,
        /// Nothing from this instant on; now, when left out
        #[arg(long, value_name = "RFC3339", value_parser = instant)]
        until: Option<OffsetDateTime>,
        /// Only what is about this device
        #[arg(long, value_name = "POS-XXXXXXXX")]
        device: Option<String>,
    },
}

fn instant(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| format!("{error}; write an instant like 2026-01-02T00:00:00Z"))
}

/// What to do with resellers.
#[derive(Debug, Subcommand)]
pub enum Reseller {
    /// Make a reseller known and print its id
    Add {
        /// What people call it
        #[arg(long)]
        name: String,
        /// Its id, when tokens name it already; drawn at random when left out
        #[arg(long, value_name = "UUID")]
        id: Option<Uuid>,
    },
    /// List resellers, in the order of their ids
    List(Page),
}

/// What to do with merchants.
#[derive(Debug, Subcommand)]
pub enum Merchant {
    /// Make a merchant known and print its id
    Add {
        /// What people call it
        #[arg(long)]
        name: String,
        /// The reseller that brings it
        #[arg(long, value_name = "UUID")]
        reseller: Option<Uuid>,
        /// Its id, when tokens or devices name it already; drawn at random when left out
        #[arg(long, value_name = "UUID")]
        id: Option<Uuid>,
    },
    /// Give a merchant another name
    Rename {
        /// The merchant
        merchant_id: Uuid,
        /// What people are to call it
        #[arg(long)]
        name: String,
    },
    /// List merchants, in the order of their ids
    List {
        /// Only this reseller's
        #[arg(long, value_name = "UUID")]
        reseller: Option<Uuid>,
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        page: Page,
    },
}

/// What to do with locations.
#[derive(Debug, Subcommand)]
pub enum Location {
    /// Make a location known and print its id
    Add {
        /// The merchant whose it is
        #[arg(long, value_name = "UUID")]
        merchant: Uuid,
        /// What people call it
        #[arg(long)]
        name: String,
    },
    /// List locations, in the order of their ids
    List {
        /// Only this merchant's
        #[arg(long, value_name = "UUID")]
        merchant: Option<Uuid>,
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        page: Page,
    },
}

/// What to do with members.
#[derive(Debug, Subcommand)]
pub enum Member {
    /// Let a user act for a merchant or a reseller; a user who does already gets the new role
    Add {
        /// The user: the identity provider's subject (`sub`)
        #[arg(long, value_name = "SUB")]
        user: String,
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        of: OneParty,
        /// viewer, operator or admin
        #[arg(long)]
        role: Role,
    },
    /// Let a user no longer act for a merchant or a reseller; its sessions there are over at once
    Remove {
        /// The user: the identity provider's subject (`sub`)
        #[arg(long, value_name = "SUB")]
        user: String,
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        of: OneParty,
    },
    /// List members
    List {
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        of: AnyParty,
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        page: Page,
    },
}

/// What to do with API clients.
#[derive(Debug, Subcommand)]
pub enum Client {
    /// Make a client and print its id and its secret, which is shown only now
    Add {
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        of: OneParty,
        /// viewer, operator or admin
        #[arg(long)]
        role: Role,
        /// Its id: letters, digits, '.', '_' and '-'; drawn at random when left out
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// Give a client another secret, which is shown only now; the one before is void and its sessions are over
    Rotate {
        /// The client
        client_id: String,
    },
    /// Revoke a client for good; its sessions are over at once
    Revoke {
        /// The client
        client_id: String,
    },
    /// List clients, in the order of their ids; never a secret
    List {
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        of: AnyParty,
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        page: Page,
    },
}
