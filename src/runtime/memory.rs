//! Keeps an engine within its memory: looks at what lanes and outputs hold, and stops the engine
//! with a checkpoint before the operating system would kill it without one. Must never stop an
//! engine for memory that is not its own, nor wait for a checkpoint that cannot come.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Kind, Result};
use crate::runtime::committer::Request;
use crate::runtime::progress::Progress;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// How long the last checkpoint may take; the one before stands anyway.
const PATIENCE: Duration = Duration::from_secs(120);
/// Share of the machine's (or control group's) memory at which the process stops, in percent,
/// whatever its state is thought to hold.
const RESIDENT_SHARE: u64 = 90;
/// How many state groups the message names.
const NAMED: usize = 3;

/// How much an engine may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    Bytes(u64),
    /// Percent of what the machine or the control group has, whichever is less.
    Share(u8),
}

impl Default for MemoryLimit {
    /// The rest is for batches under way, checkpoints being encoded, and the program itself.
    fn default() -> Self {
        Self::Share(60)
    }
}

impl FromStr for MemoryLimit {
    type Err = String;

    /// `512MB`, `2 GiB`, `1500000000`, `40%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a size such as 512MB or 2GiB, or a share such as 40%".to_owned();
        if let Some(share) = text.strip_suffix('%') {
            let share = share.trim().parse().ok().filter(|share| (1..=90).contains(share));
            return share.map(Self::Share).ok_or_else(|| "expected 1% to 90%".to_owned());
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let factor = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1_000,
            "k" | "kib" => 1 << 10,
            "mb" => 1_000_000,
            "m" | "mib" => 1 << 20,
            "gb" => 1_000_000_000,
            "g" | "gib" => 1 << 30,
            "tb" => 1_000_000_000_000,
            "t" | "tib" => 1 << 40,
            _ => return Err(wrong()),
        };
        let bytes = number.checked_mul(factor).filter(|bytes| *bytes > 0);
        bytes.map(Self::Bytes).ok_or_else(wrong)
    }
}

/// What a limit comes to on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// For state and rows that wait to be written.
    pub held: u64,
    /// What there is for the process; `None` where the system does not say.
    pub available: Option<u64>,
}

impl Budget {
    pub fn new(limit: MemoryLimit) -> Self {
        let available = available();
        let held = match (limit, available) {
            (MemoryLimit::Bytes(bytes), _) => bytes,
            (MemoryLimit::Share(share), Some(all)) => all / 100 * u64::from(share),
            (MemoryLimit::Share(_), None) => u64::MAX,
        };
        Self { held, available }
    }

    /// Why the engine cannot go on, if it cannot.
    fn exceeded(&self, progress: &Progress, resident: Option<u64>) -> Option<Error> {
        let held = progress.held_bytes();
        let what = if held > self.held {
            format!("state and waiting rows hold {} of {} allowed", shown(held), shown(self.held))
        } else {
            let (resident, all) = (resident?, self.available?);
            if resident < all / 100 * RESIDENT_SHARE {
                return None;
            }
            format!("the process holds {} of the {} there are", shown(resident), shown(all))
        };
        let mut groups = progress.group_bytes();
        groups.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let named =
            groups.iter().take(NAMED).map(|(name, bytes)| format!("{name} {}", shown(*bytes)));
        let waiting = progress.buffered_bytes.load(Relaxed);
        let parts: Vec<String> =
            named.chain([format!("rows that wait to be written {}", shown(waiting))]).collect();
        Some(Error::new(Kind::Exhausted, format!("{what}: {}", parts.join(", "))).with_hint(
            "give more with --memory and run again (it goes on from the checkpoint just taken); or \
             make windows shorter, keys fewer, or run some features in another home",
        ))
    }
}

/// Watches until the engine ends; over the budget it asks for a checkpoint, then for the end.
pub async fn watch(budget: Budget, progress: Arc<Progress>, requests: mpsc::WeakSender<Request>) {
    loop {
        tokio::time::sleep(LOOK).await;
        // Whoever drops the engine ends it.
        let Some(requests) = requests.upgrade().filter(|requests| !requests.is_closed()) else {
            return;
        };
        let Some(error) = budget.exceeded(&progress, resident()) else { continue };
        let (reply, answer) = oneshot::channel();
        // The engine may have stopped by itself meanwhile.
        if requests.send(Request::Checkpoint(reply)).await.is_err() {
            return;
        }
        let saved = matches!(tokio::time::timeout(PATIENCE, answer).await, Ok(Ok(Ok(_))));
        if !saved {
            tracing::error!("no checkpoint could be taken: the one before stands");
        }
        let _ = requests.send(Request::Fail(error)).await;
        return;
    }
}

fn shown(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// Bytes of memory for this process: of the machine, or of its control groups if they allow less.
fn available() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| kilobytes(&text, "MemTotal:"));
    let own = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let groups =
        group_files(&own).into_iter().filter_map(|path| group_limit(&read(Path::new(&path))?));
    machine.into_iter().chain(groups).min()
}

/// Bytes of this process in memory.
fn resident() -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The value of a line `name 123 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Files that hold the limits of the control groups in `/proc/self/cgroup`: of each group and of
/// those around it, versions 2 and 1.
fn group_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(kinds), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match kinds {
            "" => ("/sys/fs/cgroup", "memory.max"),
            kinds if kinds.split(',').any(|kind| kind == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut path = path.trim_matches('/');
        loop {
            let folder = if path.is_empty() { String::new() } else { format!("/{path}") };
            files.push(format!("{root}{folder}/{file}"));
            if path.is_empty() {
                break;
            }
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
    files
}

/// A limit as a file says it; `None` for none.
fn group_limit(text: &str) -> Option<u64> {
    // Version 1 says "none" as a number near 2^63.
    text.trim().parse::<u64>().ok().filter(|limit| *limit < 1 << 62)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares_are_read_as_people_write_them() {
        for (text, limit) in [
            ("512MB", MemoryLimit::Bytes(512_000_000)),
            ("2 GiB", MemoryLimit::Bytes(2 << 30)),
            ("2g", MemoryLimit::Bytes(2 << 30)),
            ("123", MemoryLimit::Bytes(123)),
            ("40%", MemoryLimit::Share(40)),
        ] {
            assert_eq!(text.parse(), Ok(limit), "{text}");
        }
        for wrong in ["", "MB", "-1", "1.5GB", "0", "0%", "91%", "2 parsecs", "99999999999tb"] {
            assert!(wrong.parse::<MemoryLimit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_least_limit_of_machine_and_control_groups_counts() {
        let text = "MemTotal:       16000000 kB\nMemFree:        1 kB\n";
        assert_eq!(kilobytes(text, "MemTotal:"), Some(16_384_000_000));
        assert_eq!(kilobytes(text, "VmRSS:"), None);
        assert_eq!(
            group_files("0::/a/b\n"),
            [
                "/sys/fs/cgroup/a/b/memory.max",
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(
            group_files("4:cpu,memory:/\n3:cpu:/x\n"),
            ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        assert_eq!(group_limit("max\n"), None);
        assert_eq!(group_limit("9223372036854771712\n"), None);
        assert_eq!(group_limit("1048576\n"), Some(1 << 20));
        assert!(Budget::new(MemoryLimit::default()).held > 0);
    }

    #[test]
    fn the_message_says_who_holds_how_much_and_what_to_do() {
        let groups = ["a", "b + c", "d", "e"].map(str::to_owned);
        let progress = Progress::new(&[], &[], 2).with_groups(&groups);
        for (group, bytes) in [10, 3_000, 200, 30].into_iter().enumerate() {
            progress.groups[group].bytes[1].store(bytes, Relaxed);
        }
        progress.state_bytes[1].store(3_240, Relaxed);
        progress.buffered_bytes.store(60, Relaxed);
        let budget = |held| Budget { held, available: Some(1_000_000) };
        assert!(budget(3_300).exceeded(&progress, Some(500_000)).is_none());
        let error = budget(3_299).exceeded(&progress, None).unwrap();
        assert_eq!(error.kind(), Kind::Exhausted);
        assert_eq!(
            error.message(),
            "state and waiting rows hold 3300 B of 3299 B allowed: b + c 3000 B, d 200 B, e 30 B, \
             rows that wait to be written 60 B"
        );
        assert!(error.hint().unwrap().contains("--memory"));
        let error = budget(3_300).exceeded(&progress, Some(900_000)).unwrap();
        assert!(error.message().starts_with("the process holds 900 kB of the 1000 kB"), "{error}");
    }
}
