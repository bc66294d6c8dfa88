//! One binary for all suites: they link once and run side by side.

#[cfg(test)]
mod identity;
