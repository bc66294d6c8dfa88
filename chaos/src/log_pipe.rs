//! Log pipe: copies a server's standard error to a file, and can be stalled.

use std::fs::File;
use std::io::Write as _;

use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStderr;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Copies the pipe to a file, except while `stalled` is true. Ends when the pipe is closed.
pub(crate) fn copy(mut pipe: ChildStderr, mut log: File, mut stalled: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        loop {
            if stalled.wait_for(|stalled| !stalled).await.is_err() {
                return;
            }
            match pipe.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    let _ = log.write_all(buffer.get(..read).unwrap_or_default());
                }
            }
        }
    })
}
