//! Rows stay in order and keep their numbers.

use super::*;
use crate::state::testing::Random;

#[test]
fn rows_in_any_order_lie_in_the_total_order_and_keep_their_numbers() {
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let (mut buffer, mut model, mut dropped) = (RowBuffer::default(), Vec::new(), 0usize);
        for offset in 0..300u64 {
            let floor = model.get(dropped).map_or(0, |row: &[u64; 3]| row[0]);
            let row = [floor + 1 + random.below(20), random.below(2) << 32 | 1, offset];
            let number = buffer.insert(3, &row, buffer.first());
            model.push(row);
            model[dropped..].sort_by_key(|row| place_of(row));
            assert_eq!(model[number as usize], row, "seed {seed}");
            if random.one_in(7) {
                let end = buffer.end(3);
                let to = buffer.first() + random.below(end - buffer.first());
                assert_eq!(buffer.before(3, to).len() as u64, (to - buffer.first()) * 3);
                buffer.drop_before(3, to);
                dropped = to as usize;
            }
            let rows: Vec<_> = buffer.words().chunks_exact(3).collect();
            assert_eq!(rows, model[dropped..].iter().map(|row| &row[..]).collect::<Vec<_>>());
        }
        let time = model[dropped][0] as i64 + 5;
        let at = buffer.partition_point(3, 0, |row| (row[0] as i64) < time);
        let before = model.iter().filter(|row| (row[0] as i64) < time).count();
        assert_eq!(at as usize, before, "seed {seed}");
    }
}
