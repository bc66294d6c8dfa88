//! Log pipe of a server, whose reader can stop for a while.

use std::fs::File;
use std::io::Write as _;

use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStderr;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Copies what comes through the pipe to a file, except while `stalled` is true. Ends with the pipe.
pub(crate) fn copy(mut pipe: ChildStderr, mut log: File, mut stalled: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut piece = vec![0; 65_536];
        loop {
            if stalled.wait_for(|stalled| !stalled).await.is_err() {
                return;
            }
            match pipe.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    let _ = log.write_all(piece.get(..read).unwrap_or_default());
                }
            }
        }
    })
}
