//! What tracking reads of a segment.

use crate::wire::Tcp;
use crate::wire::tcp::flag::{FIN, SYN};
use crate::wire::tcp::option;

/// What tracking reads of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The flags (see [`flag`](crate::wire::tcp::flag)).
    pub flags: u8,
    /// The sequence number.
    pub seq: u32,
    /// The acknowledgement; counts only with the flag.
    pub ack: u32,
    /// The window field, not scaled.
    pub window: u16,
    /// Bytes of data.
    pub len: u32,
    /// Whether there is more data in later fragments, so that nobody knows where the segment ends.
    pub is_cut: bool,
    /// The shift of a SYN's window scale option, at most [`MAX_SCALE`].
    pub scale: Option<u8>,
    /// Whether a SYN has timestamps.
    pub has_timestamps: bool,
}

/// The largest shift; a larger one means this (RFC 7323, section 2.3).
pub const MAX_SCALE: u8 = 14;

impl Segment {
    /// Of a whole packet: its header and data. Options are read of a SYN only: in others they change nothing
    /// here.
    pub fn new(tcp: Tcp<'_>, data: &[u8]) -> Self {
        let mut segment = Self {
            flags: tcp.flags(),
            seq: tcp.seq(),
            ack: tcp.ack(),
            window: tcp.window(),
            len: data.len() as u32,
            ..Self::default()
        };
        if segment.has(SYN) {
            segment.read_options(tcp);
        }
        segment
    }

    /// Of the first of several fragments.
    pub fn cut(tcp: Tcp<'_>, data: &[u8]) -> Self {
        Self { is_cut: true, ..Self::new(tcp, data) }
    }

    /// Whether any of `flags` is set.
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// The sequence number behind it: SYN and FIN take one each.
    pub const fn end(&self) -> u32 {
        let (syn, fin) = (self.has(SYN) as u32, self.has(FIN) as u32);
        self.seq.wrapping_add(self.len).wrapping_add(syn).wrapping_add(fin)
    }

    #[cold]
    fn read_options(&mut self, tcp: Tcp<'_>) {
        for (kind, data) in tcp.options() {
            match (kind, data) {
                (option::WINDOW_SCALE, [shift]) => self.scale = Some((*shift).min(MAX_SCALE)),
                (option::TIMESTAMPS, [_, _, _, _, _, _, _, _]) => self.has_timestamps = true,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp::flag::ACK;

    fn segment(flags: u8, options: &[u8], data: &[u8]) -> Segment {
        let mut bytes = vec![0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
        bytes.extend([((20 + options.len()) / 4) as u8 * 16, flags, 0, 5, 0, 0, 0, 0]);
        bytes.extend(options);
        bytes.extend(data);
        let (tcp, data) = Tcp::split(&bytes).unwrap();
        Segment::new(tcp, data)
    }

    #[test]
    fn reads_the_options_of_a_syn() {
        let read = |flags, options: &[u8]| {
            let segment = segment(flags, options, &[]);
            (segment.scale, segment.has_timestamps)
        };
        let timestamps = [8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
        assert_eq!(read(SYN, &[1, 3, 3, 7]), (Some(7), false));
        assert_eq!(read(SYN, &[1, 3, 3, 15]), (Some(14), false));
        assert_eq!(read(SYN, &[3, 4, 7, 7]), (None, false));
        assert_eq!(read(SYN | ACK, &timestamps), (None, true));
        assert_eq!(read(SYN | ACK, &[&timestamps[..], &[3, 3, 0, 0]].concat()), (Some(0), true));
        assert_eq!(read(ACK, &[&timestamps[..], &[3, 3, 7, 0]].concat()), (None, false));
    }

    #[test]
    fn syn_and_fin_take_a_number_each() {
        let end = |flags| segment(flags, &[], &[0; 10]).end();
        assert_eq!([ACK, SYN, ACK | FIN, SYN | FIN].map(end), [13, 14, 14, 15]);
        let last = Segment { flags: FIN, seq: u32::MAX, len: 1, ..Segment::default() };
        assert_eq!(last.end(), 1);
    }
}
