//! Fleet management: resellers and merchants manage their own devices, locations and merchants.
//!
//! Every request has an [`Authorization`](crate::support::Authorization): the caller, its role, and the merchant it acts for. Each use case checks the
//! permission (`authorize`) and passes the scope to the store, which finds nothing of other tenants. An operator is
//! authorized for everything and has no idempotency key: only requests of tenants are idempotent.
//!
//! A use case that creates something for a merchant takes a [`MerchantAuthorization`](crate::support::MerchantAuthorization),
//! which names the merchant.

mod decommission_device;
mod device_queries;
mod import_devices;
mod provision_devices;
mod release_device;
mod transfer_device;
mod update_device;
mod verify_device_chains;

pub use decommission_device::DecommissionDevice;
pub use device_queries::{DeviceFilter, DeviceQueries};
pub(crate) use import_devices::ImportStores;
pub use import_devices::{
    FileFault, ImportDevices, ImportError, ImportFiles, ImportFormat, ImportLimits, ImportOrder, ImportReport,
    ImportTotals, MAX_ROW_BYTES, NoImportFiles, ReadRow, ReceiveError, Received, Receiver, RowParser, Upload,
    max_file_bytes,
};
pub use provision_devices::{NewDevice, ProvisionDevices};
pub use release_device::ReleaseDevice;
pub use transfer_device::TransferDevice;
pub use update_device::{DetailsPatch, UpdateDevice};
pub use verify_device_chains::{VerifiedChains, VerifyDeviceChains, VerifyDeviceChainsError};
