//! Confirmation prompt for commands that cannot be undone at once.

use std::io::{self, BufRead, IsTerminal as _};

use crate::output::note;

/// Asks whether to continue, unless `yes` is set.
///
/// # Errors
/// If the answer is no, or if there is no terminal to ask on.
pub(super) fn require(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    anyhow::ensure!(
        io::stdin().is_terminal() && io::stderr().is_terminal(),
        "{question} There is no terminal to ask on: confirm with --yes. Nothing was done"
    );
    note!("{question} Type yes to continue:");
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
    fn only_yes_continues() {
        for (answer, continues) in
            [("yes\n", true), (" YES", true), ("y\n", false), ("\n", false), ("", false), ("no", false)]
        {
            assert_eq!(is_yes(answer.as_bytes()).unwrap(), continues, "{answer:?}");
        }
    }
}
