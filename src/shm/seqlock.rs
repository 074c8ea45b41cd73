//! Rows that one thread writes and others read without its help.
//!
//! The first word of a row is its sequence: even when the row is whole, odd while it is being written. A reader takes
//! the sequence, copies the row, takes the sequence again, and has the row if both are the same even number (Boehm, "Can
//! seqlocks get along with programming language memory models?", 2012).

use super::word::{Load, Store};

/// Writes `values` behind the sequence of `row`, as far as there is room, and gives it the even number `sequence`.
#[inline]
pub fn write<W: Store>(row: &[W], sequence: u64, values: &[u64]) {
    let Some((first, words)) = row.split_first() else { return };
    first.store(sequence.wrapping_sub(1));
    // Whoever sees one of the words that follow, and fences, sees the odd sequence too.
    W::release();
    for (word, value) in words.iter().zip(values) {
        word.store(*value);
    }
    first.publish(sequence);
}

/// Writes `values` with the sequence that follows.
#[inline]
pub fn rewrite<W: Store>(row: &[W], values: &[u64]) {
    let Some(first) = row.first() else { return };
    write(row, (first.load() & !1).wrapping_add(2), values);
}

/// The row was being written when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn;

/// Copies what is behind the sequence of `row` into `values`. The sequence.
///
/// # Errors
///
/// When the row was being written; `values` then may have words of several rows.
#[inline]
pub fn read<W: Load>(row: &[W], values: &mut [u64]) -> Result<u64, Torn> {
    let (first, words) = row.split_first().ok_or(Torn)?;
    let before = first.load();
    W::acquire();
    if before % 2 == 1 {
        return Err(Torn);
    }
    for (value, word) in values.iter_mut().zip(words) {
        *value = word.load();
    }
    W::acquire();
    let after = first.load();
    if after == before { Ok(before) } else { Err(Torn) }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let row: [AtomicU64; 3] = Default::default();
        for round in 1..10 {
            rewrite(&row, &[round, !round]);
            let mut values = [0; 2];
            assert_eq!((read(&row, &mut values), values), (Ok(2 * round), [round, !round]));
        }
    }
}
