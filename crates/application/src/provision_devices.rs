use std::collections::BTreeSet;
use std::sync::Arc;

use pos_domain::{Act, Device, DeviceId, MerchantId, Transition};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::{DeviceRepository, StorageError};

/// How many devices one transaction stores.
const BATCH: usize = 1_000;

/// Makes terminals known to the system, for a merchant.
pub struct ProvisionDevices {
    devices: Arc<dyn DeviceRepository>,
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
    pub fn new(devices: Arc<dyn DeviceRepository>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { devices, clock, entropy }
    }

    /// Provisions the device that is called `id`.
    ///
    /// # Errors
    /// [`ProvisionDevicesError`].
    pub async fn named(&self, id: DeviceId, merchant: MerchantId, by: Act) -> Result<(), ProvisionDevicesError> {
        let device = Device::provision(id, merchant, by, self.clock.now());
        match self.devices.add(&[device]).await?.pop() {
            Some(taken) => Err(ProvisionDevicesError::Taken(taken)),
            None => Ok(()),
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
        let ids: BTreeSet<_> = (0..count.min(BATCH)).map(|_| DeviceId::from_bits(self.entropy.bits())).collect();
        let devices: Vec<Transition> =
            ids.iter().map(|id| Device::provision(id.clone(), merchant, by.clone(), now)).collect();
        let taken = self.devices.add(&devices).await?;
        Ok(ids.into_iter().filter(|id| !taken.contains(id)).collect())
    }
}
