//! Another layout of the same log for `stream-split`: records over other partitions, arriving in
//! another order, chosen so that nobody's verdict changes. Called by `run`.

use std::sync::Arc;

use skewless::catalog::source::SourceDef;

use super::log::{Message, Partition};
use super::modes::{Input, Outcome, admit};
use super::rng::Rng;
use super::value::{multiset, rows};

/// The same records in another layout, or `None` if every layout tried would change who is
/// admitted.
pub fn another(input: &Input, rng: &mut Rng) -> Option<Input> {
    let wanted = fate(input, &input.def)?;
    let mut records: Vec<Message> = Vec::new();
    for partition in &input.partitions {
        let Partition::Messages(messages) = partition else { return None };
        records.extend(messages.iter().cloned());
    }
    for attempt in 0..40 {
        let disorder = if attempt < 30 { 1 + rng.below(6) as u64 } else { 1 };
        let mut order: Vec<(u64, usize)> =
            (0..records.len()).map(|i| (i as u64 + rng.next() % disorder, i)).collect();
        order.sort_unstable();
        let count = 1 + rng.below(4);
        let mut partitions: Vec<Vec<Message>> = vec![Vec::new(); count];
        for (_, i) in order {
            let p = rng.below(count);
            let offset = partitions[p].last().map_or(0, |m| m.offset + 1 + rng.below(2) as i64);
            partitions[p].push(Message { offset, ..records[i].clone() });
        }
        let partitions = partitions.into_iter().map(Partition::Messages).collect();
        let other = Input { partitions, ..input.clone() };
        if fate(&other, &input.def)? == wanted {
            return Some(other);
        }
    }
    None
}

/// Who is admitted (own columns only), and the counts.
fn fate(input: &Input, def: &Arc<SourceDef>) -> Option<(Vec<String>, String)> {
    let mut outcome = Outcome::default();
    admit(input, &mut outcome).ok()?;
    let own = def.schema().fields().len();
    let admitted: Vec<Vec<_>> =
        rows(&outcome.admitted).into_iter().map(|r| r[..own].to_vec()).collect();
    Some((multiset(&admitted), format!("{:?}", outcome.counts)))
}
