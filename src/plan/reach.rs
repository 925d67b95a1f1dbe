//! How far back a feature looks for the newest row of an entity, and its `ttl` (semantics §4).
//! `ttl` masks reads and never changes a final row; where it is longer than every frame, state
//! keeps the newest row of a key that long. Callers: whoever makes plans of stored definitions,
//! and `operator::answer`.

use xxhash_rust::xxh3::xxh3_128;

use super::dataflow::{FeaturePlan, FrameExtent, FrameSpec, WindowSpec};
use crate::model::time::format_duration;

/// How old the newest row (or `window_end`) of an entity may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Unlimited,
    /// The longest RANGE frame, µs: beyond it current-row columns are NULL.
    Frame(i64),
    /// `ttl`, µs: beyond it everything is NULL.
    Ttl(i64),
}

impl Reach {
    pub const UNLIMITED: Self = Self::Unlimited;

    /// The oldest time within reach of `time`.
    pub fn from(self, time: i64) -> i64 {
        match self {
            Self::Unlimited => i64::MIN,
            Self::Frame(us) | Self::Ttl(us) => time.saturating_sub(us),
        }
    }

    pub fn is_ttl(self) -> bool {
        matches!(self, Self::Ttl(_))
    }
}

/// The longest RANGE frame; `None` if a frame or the whole window is without limit.
fn longest_frame(window: &WindowSpec) -> Option<i64> {
    let spec = match window {
        WindowSpec::Trailing(spec) => spec,
        WindowSpec::Chain(spec) => &spec.second,
        WindowSpec::Group(_) => return None,
    };
    let length = |frame: &FrameSpec| match frame.extent {
        FrameExtent::Range { preceding_us, .. } => preceding_us,
        FrameExtent::Rows { .. } => None,
    };
    let lengths = spec.frames.iter().map(length).collect::<Option<Vec<_>>>()?;
    lengths.into_iter().max()
}

impl FeaturePlan {
    /// How far back the newest row of an entity counts.
    pub fn reach(&self) -> Reach {
        match (self.ttl_us, longest_frame(&self.window)) {
            (Some(ttl), _) => Reach::Ttl(ttl),
            (None, Some(longest)) => Reach::Frame(longest),
            (None, None) => Reach::Unlimited,
        }
    }

    /// The same feature with a `ttl` of `ttl_us` > 0. A frame without aggregates makes the
    /// operator keep the newest row of a key for as long; state that was kept for less cannot
    /// answer, so the fingerprint is another one then.
    pub fn with_ttl(mut self, ttl_us: i64) -> Self {
        let longest = longest_frame(&self.window);
        let ttl = format_duration(ttl_us);
        self.ttl_us = Some(ttl_us);
        self.notes.push(format!(
            "ttl: values of a key without rows for {ttl} are NULL when read; final rows are not \
             changed by it"
        ));
        let spec = match &mut self.window {
            WindowSpec::Trailing(spec) => Some(spec),
            WindowSpec::Chain(spec) => Some(&mut spec.second),
            WindowSpec::Group(_) => None,
        };
        if let Some(spec) = spec {
            let limitless = spec.frames.iter().any(|frame| match frame.extent {
                FrameExtent::Range { preceding_us, .. } => preceding_us.is_none(),
                FrameExtent::Rows { .. } => true,
            });
            if limitless {
                self.notes.push(
                    "warning: ttl frees no state: ROWS and UNBOUNDED frames keep a key for ever"
                        .to_owned(),
                );
            } else if longest.is_none_or(|longest| longest < ttl_us) {
                spec.frames.push(FrameSpec::range(Some(ttl_us)));
                let text = format!("{}\nkept for {ttl_us}", self.fingerprint);
                self.fingerprint = format!("{:032x}", xxh3_128(text.as_bytes()));
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::plan;

    const HOUR: i64 = 3_600_000_000;

    fn feature(frame: &str) -> FeaturePlan {
        plan(&format!(
            "SELECT user_id, amount, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time \
             {frame}) AS n FROM transactions"
        ))
        .unwrap()
    }

    const ONE_HOUR: &str = "RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW";

    #[test]
    fn reach_is_ttl_else_the_longest_range_else_unlimited() {
        assert_eq!(feature(ONE_HOUR).reach(), Reach::Frame(HOUR));
        assert_eq!(feature("ROWS BETWEEN 2 PRECEDING AND CURRENT ROW").reach(), Reach::Unlimited);
        assert_eq!(feature("").reach(), Reach::Unlimited);
        assert_eq!(feature(ONE_HOUR).with_ttl(7).reach(), Reach::Ttl(7));
        assert_eq!(Reach::Ttl(10).from(25), 15);
        assert_eq!(Reach::Frame(10).from(i64::MIN), i64::MIN);
    }

    #[test]
    fn a_ttl_within_the_frames_changes_neither_state_nor_version() {
        let (plain, short) = (feature(ONE_HOUR), feature(ONE_HOUR).with_ttl(HOUR));
        assert_eq!(plain.window, short.window);
        assert_eq!(plain.fingerprint, short.fingerprint);
        let long = feature(ONE_HOUR).with_ttl(HOUR + 1);
        assert_ne!(plain.window, long.window);
        assert_ne!(plain.fingerprint, long.fingerprint);
        assert_ne!(long.fingerprint, feature(ONE_HOUR).with_ttl(HOUR + 2).fingerprint);
    }

    #[test]
    fn a_ttl_that_frees_nothing_is_noted() {
        let plan = feature("").with_ttl(HOUR);
        assert!(plan.notes.iter().any(|note| note.contains("frees no state")), "{:?}", plan.notes);
        assert_eq!(plan.fingerprint, feature("").fingerprint);
    }
}
