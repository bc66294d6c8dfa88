//! Confirmation of commands that cannot be taken back at once.

use std::io::{self, BufRead, IsTerminal as _};

use crate::output::note;

/// Asks whether to go on, unless `--yes` says so.
///
/// # Errors
/// When the answer is no, or nobody is there to ask.
pub(super) fn require(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    anyhow::ensure!(
        io::stdin().is_terminal() && io::stderr().is_terminal(),
        "{question} Nobody is here to answer: add --yes if so. Nothing was done"
    );
    note!("{question} Type yes to go on:");
    anyhow::ensure!(is_yes(io::stdin().lock())?, "nothing was done");
    Ok(())
}

fn is_yes(mut input: impl BufRead) -> io::Result<bool> {
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_goes_on() {
        for (answer, goes_on) in
            [("yes\n", true), (" YES", true), ("y\n", false), ("\n", false), ("", false), ("no", false)]
        {
            assert_eq!(is_yes(answer.as_bytes()).unwrap(), goes_on, "{answer:?}");
        }
    }
}
