use crate::{LocationId, Name};

/// What people keep of a device beside its state: no rule of pairing reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceDetails {
    /// What they call it, such as the till it stands at.
    pub label: Option<Name>,
    /// Where it stands: a location of its merchant.
    pub location_id: Option<LocationId>,
}
