//! Fleet of a run: the devices, the users who claim them, and the terminals' requests.

use pos_domain::device::{Device, DeviceDetails, Transition};
use pos_domain::shared::{AuditContext, DeviceId, MerchantId};
use pos_port_clock::Clock;
use uuid::Uuid;

use crate::options::{Load, Run};

/// The number in the first device's id. Eight decimal digits are also eight hex digits, so that pgbench, which cannot
/// format hex, can generate the same ids.
pub(crate) const FIRST: u32 = 10_000_000;

/// Method and path of a status poll.
pub(crate) const POLL: (&str, &str) = ("GET", "/pos/status");

/// Method and path of a request for a code.
pub(crate) const CODE: (&str, &str) = ("POST", "/pos/pairing-code");

/// The terminals' `User-Agent`.
const USER_AGENT: &str = "Viopay-POS/1.4.2 (Android 12; PAX-A920)";

/// Ranges of device numbers by purpose. Polls and code requests reuse the first range; a device can be claimed only once,
/// so each measurement of claims has its own range.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fleet {
    polling: u32,
    claims: u32,
    measurements: u32,
    claimants: u32,
}

impl Fleet {
    pub(crate) fn of(options: &Run) -> Self {
        let with_claims = options.only.contains(&Load::Claims);
        Self {
            polling: options.devices,
            claims: options.total_claims(),
            measurements: if with_claims { 2 * options.repetitions } else { 0 },
            claimants: options.claimants,
        }
    }

    /// Devices that poll and request codes.
    pub(crate) fn polling(self) -> impl Iterator<Item = u32> {
        FIRST..FIRST + self.polling
    }

    /// Devices that are claimed before the measurements: one for each claimant.
    pub(crate) fn warm_up(self) -> impl Iterator<Item = u32> {
        let first = FIRST + self.polling;
        first..first + if self.measurements > 0 { self.claimants } else { 0 }
    }

    /// Devices that are claimed in one measurement, by its index.
    pub(crate) fn claimed(self, measurement: u32) -> std::ops::Range<u32> {
        let first = FIRST + self.polling + self.claimants + measurement * self.claims;
        first..first + self.claims
    }

    /// All devices.
    pub(crate) fn all(self) -> impl Iterator<Item = u32> {
        self.polling().chain(self.warm_up()).chain((0..self.measurements).flat_map(move |m| self.claimed(m)))
    }

    /// The number of merchants, each with one user.
    pub(crate) fn claimants(self) -> u32 {
        self.claimants
    }

    /// The index of the user who may claim a device. Consecutive devices belong to different merchants.
    pub(crate) fn claimant(self, device: u32) -> u32 {
        device % self.claimants
    }

    /// The transition that provisions a device.
    pub(crate) fn provision(self, device: u32, clock: &dyn Clock) -> anyhow::Result<Transition> {
        let id = DeviceId::parse_new(&device_id(device))?;
        Ok(Device::provision(
            id,
            MerchantId(merchant(self.claimant(device))),
            DeviceDetails::default(),
            AuditContext::operator(),
            clock.now(),
        ))
    }
}

/// The merchant of a claimant.
pub(crate) fn merchant(claimant: u32) -> Uuid {
    Uuid::from_u128(0x0b8f_4d2e_7c1a_4e55_9d0f_0000_0000_0000 + u128::from(claimant))
}

/// The user id of a claimant, the subject of the token.
pub(crate) fn user(claimant: u32) -> String {
    format!("bench-{claimant}")
}

pub(crate) fn device_id(device: u32) -> String {
    format!("POS-{device:08}")
}

/// A terminal's request in its wire format.
pub(crate) fn terminal_request(method: &str, path: &str, device: u32) -> Vec<u8> {
    let id = device_id(device);
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Device-Id: {id}\r\nUser-Agent: {USER_AGENT}\r\n\
         X-Client-Type: pos\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::Parser as _;

    use super::*;
    use crate::options::{Command, Options};

    fn run(arguments: &str) -> Run {
        let line = format!("pos-bench run --database-url postgres://localhost {arguments}");
        let Command::Run(run) = Options::parse_from(line.split_whitespace()).command else { panic!("{line}") };
        run
    }

    #[test]
    fn ranges_do_not_overlap_and_every_id_is_valid() {
        let fleet = Fleet::of(&run("--devices 10 --claims 7 --connections 2 --claimants 3 --repetitions 2"));
        let all: Vec<u32> = fleet.all().collect();
        assert_eq!(all.len(), 10 + 3 + 4 * 6, "six claims divide evenly among two connections");
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert!(all.iter().all(|device| DeviceId::parse_new(&device_id(*device)).is_ok()));
        let claimants: HashSet<u32> = fleet.warm_up().map(|device| fleet.claimant(device)).collect();
        assert_eq!(claimants.len(), 3, "each claimant's token is verified before the measurement");
    }

    #[test]
    fn without_claims_only_polling_devices_are_provisioned() {
        assert_eq!(Fleet::of(&run("--devices 10 --only polls,codes")).all().count(), 10);
    }
}
