//! Small in-memory file system for the SQLite file, which can be filled.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted tmpfs. Dropping it unmounts it.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts a tmpfs of `mib` MiB. The error says why this machine cannot.
    pub(crate) fn mount(folder: &Path, mib: u32) -> anyhow::Result<Self> {
        anyhow::ensure!(rustix::process::geteuid().is_root(), "only root may mount a file system");
        let folder = folder.join("disk");
        fs::create_dir(&folder)?;
        let options = format!("size={mib}m");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&folder).output()?;
        anyhow::ensure!(output.status.success(), "mount: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(Self { folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fills the free space with a ballast file. Returns its size in KiB.
    pub(crate) fn fill(&self) -> anyhow::Result<usize> {
        let mut ballast = File::create(self.ballast())?;
        let mut filled = 0;
        loop {
            match ballast.write(&[0; 4096]) {
                Ok(written) => filled += written,
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(filled / 1024),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Deletes the ballast file.
    pub(crate) fn free(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.folder).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("cannot unmount {}", self.folder.display());
        }
    }
}
