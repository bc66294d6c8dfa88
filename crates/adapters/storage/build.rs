//! Build script: rebuilds the crate when a migration changes. Migrations are embedded, and cargo does not track them.

fn main() {
    println!("cargo:rerun-if-changed=../../../migrations");
}
