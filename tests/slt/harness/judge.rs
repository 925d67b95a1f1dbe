//! The naive model of admission (semantics §1): per partition, record by record, from the words
//! of the contract. An oracle for `skewless::source::admit`; it shares no code with it. Called by
//! the random trials and by `layout`.

/// 1678-01-01 and 2262-01-01 in µs.
const EARLIEST: i64 = -9_214_560_000_000_000;
const END: i64 = 9_214_646_400_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    EventTime,
    Future,
    Late,
    Admitted,
}

impl Verdict {
    /// The reason in dead letters.
    pub fn reason(self) -> &'static str {
        match self {
            Self::EventTime => "event_time",
            Self::Future => "future",
            Self::Late => "late",
            Self::Admitted => "admitted",
        }
    }
}

/// The verdicts on decodable records `(event time, the record's own timestamp)` of one partition.
pub fn verdicts(
    records: &[(Option<i64>, Option<i64>)],
    delay: i64,
    max_future: i64,
) -> Vec<Verdict> {
    let mut admitted: Vec<i64> = Vec::new();
    let mut all = Vec::new();
    for (time, own) in records {
        let verdict = match (time, own) {
            (None, _) => Verdict::EventTime,
            (Some(t), _) if *t < EARLIEST || *t >= END => Verdict::EventTime,
            (Some(t), Some(own)) if i128::from(*t) - i128::from(*own) > max_future.into() => {
                Verdict::Future
            }
            (Some(t), _) if admitted.iter().max().is_some_and(|m| *t < m - delay) => Verdict::Late,
            (Some(t), _) => {
                admitted.push(*t);
                Verdict::Admitted
            }
        };
        all.push(verdict);
    }
    all
}
