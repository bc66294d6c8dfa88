//! Whose device, whose merchant: resellers and merchants manage their own.
//!
//! Every call is made with a [`Mandate`]: who acts, on whose behalf, and in whose affairs. Each use case asks it whether
//! the act is permitted (`permit`), and hands its scope to the store, which finds nothing of anybody else's. An operator
//! has a mandate for everything, and no key: only tenants' calls are idempotent.

mod amend;
mod answers;
mod change;
mod decommission;
mod error;
mod locations;
mod mandate;
mod merchants;
mod move_device;
mod provision;
mod release;
mod view;

pub use amend::{AmendDevice, DetailsPatch};
pub use answers::{Answers, Created, KeyedCall, NoAnswer};
pub use decommission::DecommissionDevice;
pub use error::{FleetError, StateRefusal};
pub use locations::ManageLocations;
pub use mandate::Mandate;
pub use merchants::ManageMerchants;
pub use move_device::MoveDevice;
pub use provision::{NewDevice, ProvisionDevices};
pub use release::ReleaseDevice;
pub use view::{DeviceFilter, Page, ViewDevices};
