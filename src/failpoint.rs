//! Named places where a test makes the process die or fail, and named rules that a test breaks on
//! purpose to see that another test notices. Both are read from the environment in debug builds;
//! release builds hold nothing of it.
//!
//! - `SKEWLESS_FAILPOINT=<name>[@<n>]=<crash|error>`: at the n-th passage (default 1) of `name`.
//! - `SKEWLESS_SABOTAGE=<rule>`: the rule is not kept. The rules are in [`RULES`].

#[cfg(debug_assertions)]
use std::sync::OnceLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(debug_assertions)]
use crate::error::Error;
use crate::error::Result;

/// Every place, in the order in which an engine passes them.
pub const PLACES: &[&str] = &[
    "recover.before_load",
    "recover.after_load",
    "takeover.after",
    "source.after_poll",
    "redis.half_pipeline",
    "sink.prepare",
    "sink.half_prepared",
    "state.before_write",
    "state.mid_write",
    "manifest.before",
    "manifest.after",
    "sink.half_published",
    "sink.before_mark",
    "gc.mid",
    "file.torn",
    "file.before_sync",
    "file.before_link",
    "file.after_link",
    "file.before_rename",
    "file.after_rename",
    "catalog.mid_replace",
];

/// Every rule that can be broken.
pub const RULES: &[&str] = &[
    "admit late rows",
    "publish before the manifest",
    "keep what was not committed",
    "forget carried rows",
    "rows behind the barrier belong to this epoch",
    "restart without the admission state",
    "restart one record later",
    "restart one record earlier",
    "write older values over newer ones",
    "write online at once after a restart",
    "reuse the generation",
    "watermark of the fastest partition",
    "do not fill an empty store",
    "trust the stores after a restart",
    "commit behind the newest epoch",
    "collect what a successor has begun",
    "drop what a successor has prepared",
    "leave files to the cache",
    "leave names to the cache",
    "believe every manifest",
    "believe every state file",
];

#[cfg(debug_assertions)]
struct Plan {
    place: String,
    left: AtomicU64,
    crash: bool,
}

#[cfg(debug_assertions)]
fn plan() -> Option<&'static Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let read = || {
        let text = std::env::var("SKEWLESS_FAILPOINT").ok()?;
        let (place, how) = text.rsplit_once('=')?;
        let (place, nth) = place.split_once('@').unwrap_or((place, "1"));
        assert!(PLACES.contains(&place), "SKEWLESS_FAILPOINT: no place '{place}'");
        let left = AtomicU64::new(nth.parse().ok()?);
        Some(Plan { place: place.to_owned(), left, crash: how == "crash" })
    };
    PLAN.get_or_init(read).as_ref()
}

/// A place is passed: nothing, an error, or the end of the process.
#[cfg(debug_assertions)]
pub fn pass(place: &'static str) -> Result<()> {
    debug_assert!(PLACES.contains(&place), "'{place}' is not in PLACES");
    let Some(plan) = plan().filter(|plan| plan.place == place) else { return Ok(()) };
    if plan.left.fetch_sub(1, Ordering::Relaxed) != 1 {
        return Ok(());
    }
    if plan.crash {
        eprintln!("failpoint {place}");
        std::process::abort();
    }
    Err(Error::unavailable(format!("failpoint {place}")))
}

/// A place is passed.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn pass(_: &'static str) -> Result<()> {
    Ok(())
}

/// Whether a test wants this rule broken.
#[cfg(debug_assertions)]
pub fn broken(rule: &'static str) -> bool {
    static RULE: OnceLock<Option<String>> = OnceLock::new();
    debug_assert!(RULES.contains(&rule), "'{rule}' is not in RULES");
    let broken = RULE.get_or_init(|| {
        let rule = std::env::var("SKEWLESS_SABOTAGE").ok()?;
        assert!(RULES.contains(&rule.as_str()), "SKEWLESS_SABOTAGE: no rule '{rule}'");
        Some(rule)
    });
    broken.as_deref() == Some(rule)
}

/// Whether a test wants this rule broken.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn broken(_: &'static str) -> bool {
    false
}
