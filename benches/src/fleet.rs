//! The devices of a run and the people who claim them.

use pos_domain::{Act, Device, DeviceDetails, DeviceId, MerchantId, Transition};
use pos_port_clock::Clock;
use uuid::Uuid;

use crate::options::{Load, Run};

/// The number in the first device's id. Eight digits are eight hex digits too, and pgbench, which has no hex, can make
/// the same ids.
pub(crate) const FIRST: u32 = 10_000_000;

/// What the terminals send as `User-Agent`.
const USER_AGENT: &str = "Viopay-POS/1.4.2 (Android 12; PAX-A920)";

/// Which devices play which part, by their numbers. Polls and codes use the first ones again and again; a device that
/// is claimed is used up, so each measurement of claims has devices of its own.
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
            claims: options.claims_whole(),
            measurements: if with_claims { 2 * options.repetitions } else { 0 },
            claimants: options.claimants,
        }
    }

    /// Devices that poll and ask for codes.
    pub(crate) fn polling(self) -> impl Iterator<Item = u32> {
        FIRST..FIRST + self.polling
    }

    /// Devices that are claimed before anything is measured: one for each claimant.
    pub(crate) fn warming(self) -> impl Iterator<Item = u32> {
        let first = FIRST + self.polling;
        first..first + if self.measurements > 0 { self.claimants } else { 0 }
    }

    /// Devices that are claimed in the measurement with this number, from 0.
    pub(crate) fn claimed(self, measurement: u32) -> std::ops::Range<u32> {
        let first = FIRST + self.polling + self.claimants + measurement * self.claims;
        first..first + self.claims
    }

    /// All of them.
    pub(crate) fn all(self) -> impl Iterator<Item = u32> {
        self.polling().chain(self.warming()).chain((0..self.measurements).flat_map(move |m| self.claimed(m)))
    }

    /// How many merchants there are, each with one user.
    pub(crate) fn claimants(self) -> u32 {
        self.claimants
    }

    /// Whose user may claim a device, from 0. Neighbours belong to different merchants.
    pub(crate) fn claimant(self, device: u32) -> u32 {
        device % self.claimants
    }

    /// The provisioning of a device.
    pub(crate) fn provision(self, device: u32, clock: &dyn Clock) -> anyhow::Result<Transition> {
        let id = DeviceId::parse_new(&device_id(device))?;
        Ok(Device::provision(
            id,
            MerchantId(merchant(self.claimant(device))),
            DeviceDetails::default(),
            Act::operator(),
            clock.now(),
        ))
    }
}

/// The merchant of a claimant.
pub(crate) fn merchant(claimant: u32) -> Uuid {
    Uuid::from_u128(0x0b8f_4d2e_7c1a_4e55_9d0f_0000_0000_0000 + u128::from(claimant))
}

/// The claimant's user, the subject of the token.
pub(crate) fn user(claimant: u32) -> String {
    format!("bench-{claimant}")
}

pub(crate) fn device_id(device: u32) -> String {
    format!("POS-{device:08}")
}

/// A terminal's request as it stands on the wire.
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
    fn no_device_plays_two_parts_and_every_id_is_one_a_terminal_can_have() {
        let fleet = Fleet::of(&run("--devices 10 --claims 7 --connections 2 --claimants 3 --repetitions 2"));
        let all: Vec<u32> = fleet.all().collect();
        assert_eq!(all.len(), 10 + 3 + 4 * 6, "six claims divide evenly among two connections");
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert!(all.iter().all(|device| DeviceId::parse_new(&device_id(*device)).is_ok()));
        let warmed: HashSet<u32> = fleet.warming().map(|device| fleet.claimant(device)).collect();
        assert_eq!(warmed.len(), 3, "each claimant's token is seen before the measurement");
    }

    #[test]
    fn without_claims_only_the_polling_devices_are_made() {
        assert_eq!(Fleet::of(&run("--devices 10 --only polls,codes")).all().count(), 10);
    }
}
