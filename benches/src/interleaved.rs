//! Interleaved measurement: several servers are polled alternately, in short slices.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::fleet::POLL;
use crate::measurement::Measurement;
use crate::processes::ServerProcess;
use crate::wrk::{self, Terminals};

/// Duration of one slice. The machine may stall for a tenth of a second, and a neighbour may use it for a while. Short
/// slices distribute such disturbances over all servers.
const SLICE: Duration = Duration::from_secs(1);

/// Polls each server for `seconds` in all, one slice in each round. The order of the servers changes from round to round,
/// so that no server always follows the same other one. The random devices change too, and are the same for all servers
/// of a round.
pub(crate) async fn measure_interleaved<'s>(
    servers: impl IntoIterator<Item = (&'s mut ServerProcess, Terminals)>,
    seconds: u32,
    folder: &Path,
) -> anyhow::Result<Vec<Measurement>> {
    let mut all: Vec<_> = servers.into_iter().map(|server| (server, Vec::new())).collect();
    for round in 0..seconds as usize {
        let seed = wrk::new_seed();
        for index in order(all.len(), round) {
            let Some(((server, terminals), slices)) = all.get_mut(index) else { continue };
            let terminals = Terminals { seed, ..*terminals };
            slices.push(wrk::run_terminals(server, POLL, SLICE, terminals, folder).await?);
        }
    }
    all.iter().map(|(_, slices)| Measurement::merged(slices).context("no slices")).collect()
}

/// The order of the servers in a round: the first server rotates, and every other round is reversed.
fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    let forwards = (0..count).map(move |step| (round / 2 + step) % count);
    forwards.map(move |index| if round.is_multiple_of(2) { index } else { count - 1 - index })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_measured_once_in_a_round_and_the_first_server_changes() {
        let rounds: Vec<Vec<_>> = (0..4).map(|round| order(4, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 3, 0], [2, 1, 0, 3]]);
        assert_eq!(order(0, 3).count(), 0);
    }
}
