//! Tests of `extreme` against a plain list.

use super::*;
use crate::aggregate::oracle::for_seeds;

#[test]
fn rows_entering_in_the_middle_and_leaving_in_front_keep_min_and_max_exact() {
    for_seeds(|random| {
        let (mut min, mut max) = (Extreme::min(), Extreme::max());
        // The run [first, first + rows.len()).
        let (mut rows, mut first) = (Vec::<u64>::new(), 0u64);
        let range = 1 + random.below(30);
        for _ in 0..200 {
            let value = random.below(range);
            match random.below(8) {
                0..4 => {
                    min.push_back(first + rows.len() as u64, value);
                    max.push_back(first + rows.len() as u64, value);
                    rows.push(value);
                }
                4..6 => {
                    let at = random.below(rows.len() as u64 + 1);
                    for queue in [&mut min, &mut max] {
                        queue.shift_from(first + at);
                        queue.insert(first + at, value);
                    }
                    rows.insert(at as usize, value);
                }
                6 => {
                    let gone = random.below(rows.len() as u64 + 1);
                    rows.drain(..gone as usize);
                    first += gone;
                    min.drop_before(first);
                    max.drop_before(first);
                }
                _ => {
                    let from = random.below(rows.len() as u64 + 1);
                    let rest = &rows[from as usize..];
                    assert_eq!(min.front_from(first + from), rest.iter().min());
                    assert_eq!(max.front_from(first + from), rest.iter().max());
                }
            }
            assert_eq!(min.front(), rows.iter().min(), "{rows:?}");
            assert_eq!(max.front(), rows.iter().max(), "{rows:?}");
            assert!(min.len() <= rows.len());
        }
        let mut rebuilt = Extreme::min();
        min.entries().for_each(|(seq, value)| rebuilt.push_back(seq, *value));
        assert!(rebuilt.entries().eq(min.entries()));
        min.clear();
        assert!(min.is_empty());
    });
}
