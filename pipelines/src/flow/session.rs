//! A session: what is kept of one connection, in two cache lines.

use core::ops::BitOr;

use super::key::{Key, Toward};
use super::side::Side;
use super::state::{State, Timeouts};
use super::tcp::Windows;
use crate::counters::Traffic;
use crate::ids::{PortId, Tick};

/// A session, two cache lines for either family.
///
/// The fields stand in the order in which packets need them. Of IPv4 the first line ends after the traffic, so that
/// only TCP needs the second; of IPv6 it ends before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(128))]
pub struct Session<K> {
    /// That of no packet ([`Default`]) when the session is none.
    pub(super) key: K,
    /// When the last packet came that counted: one that is out of the window does not.
    pub last: Tick,
    /// The low half of the number of the configuration that its rules were last found in.
    pub epoch: u32,
    /// The port that it counts for.
    pub(super) port: PortId,
    /// Its state. The table is to be told of a change: see [`Table::changed`](super::table::Table::changed).
    pub state: State,
    /// What else is to be known of it.
    pub flags: Flags,
    /// What each [`Side`] sent.
    pub traffic: [Traffic; 2],
    /// Where TCP stands.
    pub tcp: Windows,
    /// The counter's slot of the rule, or default, that lets it pass.
    pub rule: u32,
    /// Of the one that would decide if those under audit counted.
    pub would_rule: u32,
    /// When it was opened, in units of 2^22 ns (4.2 ms), without the bits above 32. It counts back from the last
    /// packet, so that a session may last 208 days before it looks younger than it is.
    start: u32,
}

/// The bits of a tick below the unit of [`Session::start`].
const START_SHIFT: u32 = 22;

/// Yes or no about a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// The first packet was sent by the higher end.
    pub const FROM_HIGH: Self = Self(1);
    /// TCP that was first seen in mid-stream.
    pub const PICKED_UP: Self = Self(1 << 1);
    /// It would be denied if the rules under audit counted.
    pub const WOULD_DENY: Self = Self(1 << 2);
    /// A record of it is to be written.
    pub const LOG: Self = Self(1 << 3);

    /// It asks a DNS server, over UDP.
    pub const DNS: Self = Self(1 << 4);

    /// Those of a session whose first packet goes this way.
    pub const fn of_first(toward: Toward) -> Self {
        match toward {
            Toward::High => Self(0),
            Toward::Low => Self::FROM_HIGH,
        }
    }

    /// Whether all of `flags` are set.
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Sets all of `flags`, or none.
    pub const fn set(&mut self, flags: Self, on: bool) {
        if on {
            self.0 |= flags.0;
        } else {
            self.0 &= !flags.0;
        }
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a session starts with, besides its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// The port that it counts for.
    pub port: PortId,
    /// Its first state.
    pub state: State,
    /// What else is to be known of it.
    pub flags: Flags,
    /// The low half of the number of the configuration.
    pub epoch: u32,
    /// The counter's slot of the rule, or default, that lets it pass.
    pub rule: u32,
    /// Of the one that would decide if those under audit counted.
    pub would_rule: u32,
}

impl<K: Key> Session<K> {
    /// A session with `key` that starts `now`.
    pub(super) fn new(key: K, opening: &Opening, now: Tick) -> Self {
        let Opening { port, state, flags, epoch, rule, would_rule } = *opening;
        let start = (now.0 >> START_SHIFT) as u32;
        let (traffic, tcp) = Default::default();
        Self { key, last: now, epoch, port, state, flags, traffic, tcp, rule, would_rule, start }
    }

    /// Which connection it is.
    pub const fn key(&self) -> &K {
        &self.key
    }

    /// The port that it counts for.
    pub const fn port(&self) -> PortId {
        self.port
    }

    /// Who sends a packet that goes this way.
    #[inline]
    pub const fn side(&self, toward: Toward) -> Side {
        if matches!(toward, Toward::Low) == self.flags.has(Flags::FROM_HIGH) {
            Side::Initiator
        } else {
            Side::Responder
        }
    }

    /// Which way its first packet went.
    pub const fn first_toward(&self) -> Toward {
        if self.flags.has(Flags::FROM_HIGH) { Toward::Low } else { Toward::High }
    }

    /// What `side` sent.
    pub const fn traffic(&self, side: Side) -> &Traffic {
        &self.traffic[side.index()]
    }

    /// When it was opened, to 4.2 ms: at that moment or before.
    pub const fn start(&self) -> Tick {
        let last = self.last.0 >> START_SHIFT;
        let age = (last as u32).wrapping_sub(self.start) as u64;
        Tick(last.saturating_sub(age) << START_SHIFT)
    }

    /// When it ends, if no packet comes before.
    #[inline]
    pub fn deadline(&self, timeouts: &Timeouts) -> Tick {
        Tick(self.last.0.saturating_add(timeouts.nanos(self.state)))
    }

    /// Whether it is one: a place whose session has ended keeps what it counted until the next begins.
    pub fn is_live(&self) -> bool {
        self.key != K::default()
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::super::key::{Key4, Key6};
    use super::*;
    use crate::wire::Vni;
    use proptest::prelude::*;

    #[test]
    fn a_session_is_two_lines() {
        assert_eq!((size_of::<Session<Key4>>(), align_of::<Session<Key4>>()), (128, 128));
        assert_eq!((size_of::<Session<Key6>>(), align_of::<Session<Key6>>()), (128, 128));
        assert_eq!(offset_of!(Session<Key4>, tcp), 64);
        assert!(offset_of!(Session<Key6>, flags) < 64 && offset_of!(Session<Key6>, tcp) >= 64);
        assert!(size_of::<Windows>() <= 28);
    }

    #[test]
    fn sides_follow_from_the_first_packet() {
        let end = |n: u32, port: u16| (n.into(), port);
        for (from, to) in [(end(1, 1), end(2, 2)), (end(2, 2), end(1, 1))] {
            let (key, first) = Key4::new(Vni::LOWEST, 6, from, to);
            let (_, answer) = Key4::new(Vni::LOWEST, 6, to, from);
            let opening = Opening { flags: Flags::of_first(first) | Flags::LOG, ..Opening::default() };
            let session = Session::new(key, &opening, Tick(0));
            assert_eq!(session.side(first), Side::Initiator);
            assert_eq!(session.side(answer), Side::Responder);
        }
    }

    #[test]
    fn flags_are_set_and_taken_back() {
        let mut flags = Flags::of_first(Toward::Low);
        flags.set(Flags::WOULD_DENY | Flags::LOG, true);
        assert!(flags.has(Flags::WOULD_DENY) && flags.has(Flags::LOG) && flags.has(Flags::FROM_HIGH));
        flags.set(Flags::WOULD_DENY, false);
        assert!(!flags.has(Flags::WOULD_DENY | Flags::LOG) && !flags.has(Flags::PICKED_UP));
        assert!(flags.has(Flags::LOG) && flags.has(Flags::FROM_HIGH));
    }

    proptest! {
        #[test]
        fn the_start_is_known_for_208_days(start: u64, lasted in 0u64..208 * 86_400 * 1_000_000_000) {
            let mut session = Session::new(Key4::default(), &Opening::default(), Tick(start));
            session.last = Tick(start.saturating_add(lasted));
            prop_assert_eq!(session.start(), Tick(start >> 22 << 22));
        }
    }
}
