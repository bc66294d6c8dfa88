//! Process and machine statistics from /proc, and the versions of the programs involved.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// A process's resident memory, in KiB.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Current (`VmRSS`).
    pub(crate) now: u64,
    /// Peak (`VmHWM`).
    pub(crate) peak: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has exited")?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("malformed /proc/…/status")?;
            Ok(line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse()?)
        };
        Ok(Self { now: field("VmRSS")?, peak: field("VmHWM")? })
    }

    /// The sum over several processes. Shared memory is counted for each, and their peaks may be at different times.
    pub(crate) fn of_all(pids: &[u32]) -> anyhow::Result<Self> {
        let all = pids.iter().map(|pid| Self::of(*pid)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { now: all.iter().map(|one| one.now).sum(), peak: all.iter().map(|one| one.peak).sum() })
    }
}

/// CPU time of a process so far, in user and kernel mode, of all threads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime(Duration);

impl CpuTime {
    /// Linux counts these fields of /proc in hundredths of a second on every architecture we run on (`USER_HZ`).
    const TICK: Duration = Duration::from_millis(10);

    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has exited")?;
        // The second field is the program's name in parentheses, with any characters; the 14th and 15th are the times.
        let after_name = stat.rsplit_once(')').context("malformed /proc/…/stat")?.1;
        let ticks: u32 = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<_, _>>()?;
        Ok(Self(Self::TICK * ticks))
    }

    /// The sum over several processes.
    pub(crate) fn of_all(pids: &[u32]) -> anyhow::Result<Self> {
        let times = pids.iter().map(|pid| Ok(Self::of(*pid)?.0)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self(times.into_iter().sum()))
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The processes in the session of `leader`, without the leader itself.
pub(crate) fn session_members(leader: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may exit meanwhile.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // After the name: state, parent, group, session.
        let session = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(3)?.parse::<u32>().ok());
        if pid != leader && session == Some(leader) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// The contents of /proc/loadavg.
pub(crate) fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Lines about the machine, the commit and the versions.
pub(crate) fn description() -> Vec<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = available_parallelism().map_or(0, usize::from);
    let dirty = if output("git", &["status", "--porcelain"]).is_empty() { "" } else { ", with changes" };
    vec![
        format!("machine     {cores} cores, {}", model.trim_start_matches([' ', '\t', ':'])),
        format!("date        {}", output("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        format!("commit      {}{dirty}", output("git", &["rev-parse", "--short", "HEAD"])),
        format!("rustc       {}", output("rustc", &["--version"])),
        format!("pgbench     {}", output("pgbench", &["--version"])),
    ]
}

/// The versions of the peers' runtimes.
pub(crate) fn runtimes() -> String {
    let (go, node) = (output("go", &["version"]), output("node", &["--version"]));
    let java = output("java", &["--version"]);
    format!("peers on    {go}; node {node}; {}", java.lines().next().unwrap_or("java unknown"))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_memory_and_cpu_time_of_this_process() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.now > 0 && memory.peak >= memory.now, "{memory:?}");
        let before = CpuTime::of(std::process::id()).unwrap();
        let spent = std::hint::black_box((0..200_000_000_u64).fold(0, |sum, n| sum ^ std::hint::black_box(n)));
        let after = CpuTime::of(std::process::id()).unwrap();
        assert!(after.since(before) >= CpuTime::TICK, "{before:?} {after:?} {spent}");
    }
}
