use std::collections::BTreeSet;
use std::sync::Arc;

use pos_domain::{Act, Device, DeviceDetails, DeviceId, MerchantId, Scope, Transition};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::{CreateDevicesError, FleetRepository, StorageError};

/// How many devices one transaction stores.
const BATCH: usize = 1_000;

/// Makes terminals known to the system, for a merchant.
pub struct ProvisionDevices {
    fleet: Arc<dyn FleetRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Why devices were not provisioned.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionDevicesError {
    /// Another device has this id.
    #[error("device {0} exists already")]
    Taken(DeviceId),
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ProvisionDevices {
    /// Provisions devices whose ids are drawn from `entropy`.
    #[must_use]
    pub fn new(fleet: Arc<dyn FleetRepository>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { fleet, clock, entropy }
    }

    /// Provisions the device that is called `id`.
    ///
    /// # Errors
    /// [`ProvisionDevicesError`].
    pub async fn named(&self, id: DeviceId, merchant: MerchantId, by: Act) -> Result<(), ProvisionDevicesError> {
        let device = Device::provision(id.clone(), merchant, DeviceDetails::default(), by, self.clock.now());
        match self.fleet.create(Scope::Operator, &[device], None).await {
            Ok(()) => Ok(()),
            Err(CreateDevicesError::Taken(_)) => Err(ProvisionDevicesError::Taken(id)),
            Err(CreateDevicesError::Storage(error)) => Err(error.into()),
            Err(other) => Err(StorageError::Fault(other.into()).into()),
        }
    }

    /// Provisions at most `count` devices under fresh ids, as many as fit one transaction, and answers their ids. Call
    /// again for the rest.
    ///
    /// # Errors
    /// [`ProvisionDevicesError::Storage`]; then none was provisioned.
    pub async fn some(
        &self,
        count: usize,
        merchant: MerchantId,
        by: &Act,
    ) -> Result<Vec<DeviceId>, ProvisionDevicesError> {
        let now = self.clock.now();
        let mut ids: BTreeSet<_> = (0..count.min(BATCH)).map(|_| DeviceId::from_bits(self.entropy.bits())).collect();
        loop {
            let new =
                |id: &DeviceId| Device::provision(id.clone(), merchant, DeviceDetails::default(), by.clone(), now);
            let devices: Vec<Transition> = ids.iter().map(new).collect();
            match self.fleet.create(Scope::Operator, &devices, None).await {
                Ok(()) => return Ok(ids.into_iter().collect()),
                Err(CreateDevicesError::Taken(taken)) => ids.retain(|id| !taken.contains(id)),
                Err(CreateDevicesError::Storage(error)) => return Err(error.into()),
                Err(other) => return Err(StorageError::Fault(other.into()).into()),
            }
        }
    }
}
