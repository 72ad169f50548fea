//! Growth of arrays that hold millions of entries for as long as clients stay.

/// A full array grows by one part in so many. Doubling would leave up to half of
/// it unused; this leaves an eighth at most, for a few more moves of the entries.
const GROWTH_PART: usize = 8;

/// Least growth, in entries: below it, doubling wastes nothing worth a thought.
const GROWTH_MIN: usize = 64;

/// Appends a value; what is allocated beyond it is bounded.
pub(super) fn push<T>(values: &mut Vec<T>, value: T) {
    let len = values.len();
    if len == values.capacity() {
        values.reserve_exact((len / GROWTH_PART).max(GROWTH_MIN));
    }
    values.push(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_is_unused_at_most() {
        let mut values = Vec::new();
        let mut moves = 0;
        for n in 0..1_000_000_u32 {
            let before = values.capacity();
            push(&mut values, n);
            moves += usize::from(values.capacity() != before);
            let spare = values.capacity() - values.len();
            assert!(spare <= GROWTH_MIN.max(values.len() / GROWTH_PART));
        }
        assert!(moves < 100, "{moves} moves");
        assert!(values.iter().copied().eq(0..1_000_000));
    }
}
