//! Servers measured in turn, a moment each.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::children::Listening;
use crate::plan::POLL;
use crate::sample::Sample;
use crate::wrk::{self, Terminals};

/// The machine may stand still for a tenth of a second now and then, and a neighbour may work for some. Many short slices of
/// each server share such moments out between them.
const SLICE: Duration = Duration::from_secs(1);

/// Polls of each of these servers by its terminals, for so many seconds in all. The order changes from turn to turn, so that
/// no server always comes after the same other, and so do the devices that are drawn; in one turn all are drawn alike.
pub(crate) async fn in_turn<'s>(
    servers: impl IntoIterator<Item = (&'s mut Listening, Terminals)>,
    seconds: u32,
    folder: &Path,
) -> anyhow::Result<Vec<Sample>> {
    let mut all: Vec<_> = servers.into_iter().map(|server| (server, Vec::new())).collect();
    for turn in 0..seconds as usize {
        let seed = wrk::new_seed();
        for place in order(all.len(), turn) {
            let Some(((server, terminals), slices)) = all.get_mut(place) else { continue };
            let terminals = Terminals { seed, ..*terminals };
            slices.push(wrk::of_terminals(server, POLL, SLICE, terminals, folder).await?);
        }
    }
    all.iter().map(|(_, slices)| Sample::joined(slices).context("no slices")).collect()
}

/// Each begins in its turn, and every other turn goes backwards.
fn order(count: usize, turn: usize) -> impl Iterator<Item = usize> {
    let forwards = (0..count).map(move |step| (turn / 2 + step) % count);
    forwards.map(move |place| if turn.is_multiple_of(2) { place } else { count - 1 - place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_once_in_a_turn_and_each_begins() {
        let turns: Vec<Vec<_>> = (0..4).map(|turn| order(4, turn).collect()).collect();
        assert_eq!(turns, [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 3, 0], [2, 1, 0, 3]]);
        assert_eq!(order(0, 3).count(), 0);
    }
}
