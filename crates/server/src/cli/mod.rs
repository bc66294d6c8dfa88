//! Command-line interface of `pos-server`.

#[cfg(feature = "dev-idp")]
mod development;
mod shared;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use pos_application::fleet::ImportFormat;
use pos_domain::fleet::ImportMode;
use pos_domain::shared::{IdempotencyKey, Role};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

#[cfg(feature = "dev-idp")]
pub use development::{Demo, DevIdp};
pub use shared::{AnyParty, OneParty, Page};

/// Pairs and activates payment terminals.
///
/// Settings come from the built-in defaults, then from --config, then from environment variables named
/// POS__SECTION__KEY (for example POS__DATABASE__URL). `check-config` prints the effective settings.
#[derive(Debug, Parser)]
#[command(name = "pos-server", version, arg_required_else_help = true)]
pub struct Cli {
    /// TOML file that overrides the built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Command to run
    #[command(subcommand)]
    pub command: Command,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API until a stop signal (SIGTERM, SIGHUP or Ctrl-C; a second one stops at once)
    Serve(Serve),
    /// Run pending database migrations and list them
    Migrate,
    /// Copy the embedded SQLite database to a file while it is in use
    Backup {
        /// File to create; it must not exist
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Print the effective settings, the source of each, and every error in them
    CheckConfig,
    /// Delete expired rows once: pairing codes, sessions, idempotency keys, and audit events past their retention
    Purge(Purge),
    /// Provision, list, edit, transfer, release and decommission devices
    #[command(subcommand)]
    Device(Device),
    /// Verify or export the audit trail
    #[command(subcommand)]
    Audit(Audit),
    /// Add and list resellers
    #[command(subcommand)]
    Reseller(Reseller),
    /// Add, rename and list merchants
    #[command(subcommand)]
    Merchant(Merchant),
    /// Add and list the locations of a merchant's terminals
    #[command(subcommand)]
    Location(Location),
    /// Manage the users that act for a merchant or a reseller, and their roles
    #[command(subcommand)]
    Member(Member),
    /// Manage the API clients that act for a merchant or a reseller
    #[command(subcommand)]
    Client(Client),
    /// Run the whole flow with a simulated terminal, then keep serving for experiments; needs no set-up
    #[cfg(feature = "dev-idp")]
    Demo(Demo),
    /// Run only the development token issuer, on loopback
    #[cfg(feature = "dev-idp")]
    DevIdp(DevIdp),
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Write the bound address (host:port) to FILE once connections are accepted
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
    /// Refuse to start with pending migrations instead of running them
    #[arg(long)]
    pub no_migrate: bool,
}

/// Options of `purge`.
#[derive(Debug, Args)]
pub struct Purge {
    /// Only count the expired rows
    #[arg(long)]
    pub dry_run: bool,
}

/// Commands for devices.
#[derive(Debug, Subcommand)]
pub enum Device {
    /// Provision devices for a merchant and print their ids
    Add {
        /// Merchant of the new devices
        #[arg(long, value_name = "UUID")]
        merchant: Uuid,
        /// Device id, POS- and eight upper-case hex digits; generated if omitted
        #[arg(long, value_name = "POS-XXXXXXXX")]
        device_id: Option<String>,
        /// Number of devices, with generated ids: 1 to 100000; more than 1000 need a confirmation
        #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "device_id",
              value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: u32,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Provision the devices in a file and print the refused rows; exit status 1 if there are any
    Import(Import),
    /// List devices in the order of their ids
    List {
        /// Only devices of this merchant
        #[arg(long, value_name = "UUID")]
        merchant: Option<Uuid>,
        /// Only devices after this id: the last one of the previous page
        #[arg(long, value_name = "POS-XXXXXXXX")]
        after: Option<String>,
        /// Maximum number of devices
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show a device and its events
    Show {
        /// Device id
        device_id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Return a claimed or activated device to inactive, so that it can be paired again
    Release {
        /// Device id
        device_id: String,
    },
    /// Change the label and the location of a device
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
    Edit {
        /// Device id
        device_id: String,
        /// New label
        #[arg(long, value_name = "TEXT", group = "change")]
        label: Option<String>,
        /// Remove the label
        #[arg(long, group = "change", conflicts_with = "label")]
        no_label: bool,
        /// New location: one of the device's merchant
        #[arg(long, value_name = "UUID", group = "change")]
        location: Option<Uuid>,
        /// Remove the location
        #[arg(long, group = "change", conflicts_with = "location")]
        no_location: bool,
    },
    /// Transfer an inactive device to another merchant; its label and location are removed
    Transfer {
        /// Device id
        device_id: String,
        /// The new merchant
        #[arg(long, value_name = "UUID")]
        merchant: Uuid,
    },
    /// Decommission a device permanently, whatever its status
    Decommission {
        /// Device id
        device_id: String,
    },
}

/// Options of `device import`.
#[derive(Debug, Args)]
pub struct Import {
    /// File with the columns device_id, merchant_id and optionally label and location_id; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// all_or_nothing: one refused row refuses all; best_effort: rows are independent
    #[arg(long, default_value_t, value_name = "MODE")]
    pub mode: ImportMode,
    /// csv, with a header line that names the columns, or jsonl, one JSON object per line; by default from the file
    /// name
    #[arg(long, value_name = "FORMAT", value_parser = import_format)]
    pub format: Option<ImportFormat>,
    /// Idempotency key: a run with the same key and file resumes an interrupted import and repeats nothing
    #[arg(long, value_name = "KEY", value_parser = IdempotencyKey::parse)]
    pub idempotency_key: Option<IdempotencyKey>,
    /// Print the refused rows and the totals as JSON, one object per line
    #[arg(long)]
    pub json: bool,
}

fn import_format(word: &str) -> Result<ImportFormat, String> {
    ImportFormat::of_extension(word).ok_or_else(|| "must be csv or jsonl".to_owned())
}

/// Commands for the audit trail.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Verify the hash chain of every device's events and print each fault; exit status 1 if there are any
    Verify {
        /// Only this device
        #[arg(long, value_name = "POS-XXXXXXXX")]
        device: Option<String>,
        /// Do not report events outside the hash chain, which servers of the last version without chains write while
        /// replicas are upgraded one by one
        #[arg(long)]
        allow_unchained: bool,
    },
    /// Export all events and refused claims in the order of time, one JSON object per line
    Export {
        /// Only events at or after this time, like 2026-01-02T00:00:00Z
        #[arg(long, value_name = "RFC3339", value_parser = parse_time)]
        since: Option<OffsetDateTime>,
        /// Only events before this time; default: now
        #[arg(long, value_name = "RFC3339", value_parser = parse_time)]
        until: Option<OffsetDateTime>,
        /// Only events about this device
        #[arg(long, value_name = "POS-XXXXXXXX")]
        device: Option<String>,
    },
}

fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|error| format!("{error}; write a time like 2026-01-02T00:00:00Z"))
}

/// Commands for resellers.
#[derive(Debug, Subcommand)]
pub enum Reseller {
    /// Add a reseller and print its id
    Add {
        /// Display name
        #[arg(long)]
        name: String,
        /// Reseller id, if tokens name it already; generated if omitted
        #[arg(long, value_name = "UUID")]
        id: Option<Uuid>,
    },
    /// List resellers in the order of their ids
    List(Page),
}

/// Commands for merchants.
#[derive(Debug, Subcommand)]
pub enum Merchant {
    /// Add a merchant and print its id
    Add {
        /// Display name
        #[arg(long)]
        name: String,
        /// Reseller that manages the merchant
        #[arg(long, value_name = "UUID")]
        reseller: Option<Uuid>,
        /// Merchant id, if tokens or devices name it already; generated if omitted
        #[arg(long, value_name = "UUID")]
        id: Option<Uuid>,
    },
    /// Change the name of a merchant
    Rename {
        /// Merchant id
        merchant_id: Uuid,
        /// New display name
        #[arg(long)]
        name: String,
    },
    /// List merchants in the order of their ids
    List {
        /// Only merchants of this reseller
        #[arg(long, value_name = "UUID")]
        reseller: Option<Uuid>,
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        page: Page,
    },
}

/// Commands for locations.
#[derive(Debug, Subcommand)]
pub enum Location {
    /// Add a location and print its id
    Add {
        /// Merchant of the location
        #[arg(long, value_name = "UUID")]
        merchant: Uuid,
        /// Display name
        #[arg(long)]
        name: String,
    },
    /// List locations in the order of their ids
    List {
        /// Only locations of this merchant
        #[arg(long, value_name = "UUID")]
        merchant: Option<Uuid>,
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        page: Page,
    },
}

/// Commands for members.
#[derive(Debug, Subcommand)]
pub enum Member {
    /// Let a user act for a merchant or a reseller; an existing member gets the new role
    Add {
        /// User: the identity provider's subject (`sub`)
        #[arg(long, value_name = "SUB")]
        user: String,
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        of: OneParty,
        /// viewer, operator or admin
        #[arg(long)]
        role: Role,
    },
    /// Remove a user from a merchant or a reseller; its sessions there end at once
    Remove {
        /// User: the identity provider's subject (`sub`)
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

/// Commands for API clients.
#[derive(Debug, Subcommand)]
pub enum Client {
    /// Add a client and print its id and its secret, which is shown only now
    Add {
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        of: OneParty,
        /// viewer, operator or admin
        #[arg(long)]
        role: Role,
        /// Client id: letters, digits, '.', '_' and '-'; generated if omitted
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// Replace the secret of a client; the new one is shown only now, the old one is void and its sessions end
    Rotate {
        /// Client id
        client_id: String,
    },
    /// Revoke a client permanently; its sessions end at once
    Revoke {
        /// Client id
        client_id: String,
    },
    /// List clients in the order of their ids, without secrets
    List {
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        of: AnyParty,
        #[command(flatten)]
        #[allow(missing_docs, reason = "its fields' words are shown")]
        page: Page,
    },
}
