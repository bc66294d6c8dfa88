//! Builds anew when a migration changes: they are embedded, and cargo does not see them by itself.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
