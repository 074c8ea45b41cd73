//! How sessions are kept, and what guests may take of the room for them.

use weft_pipelines::flow::State;

use super::value_of;
use crate::config::checked::{SessionLimits, Sessions};
use crate::config::diagnostic::Notes;
use crate::config::raw;
use crate::config::read::Located;
use crate::config::scalar::{Count, Period};

/// Sessions that a worker has room for, of each family, if the document does not say.
const DEFAULT_ROOM: u32 = 1 << 18;
/// With less, a handful of guests would stand in each other's way.
const MIN_ROOM: u32 = 1024;

/// How sessions are kept.
pub(super) fn settings(raw: Option<&raw::Sessions>) -> Sessions {
    let mut settings = Sessions::default();
    let Some(raw) = raw else { return settings };
    settings.tcp = value_of(&raw.tcp).copied().unwrap_or_default();
    settings.pick_up = value_of(&raw.pick_up).copied().unwrap_or(settings.pick_up);
    let Some(raw) = value_of(&raw.timeouts) else { return settings };
    let mut set = |states: &[State], period: &Option<Located<Period>>| {
        if let Some(Period(period)) = value_of(period) {
            states.iter().for_each(|state| settings.timeouts.set(*state, *period));
        }
    };
    set(&[State::TcpSynSent, State::TcpSynReceived], &raw.tcp_opening);
    set(&[State::TcpEstablished], &raw.tcp_established);
    set(&[State::TcpFinWait, State::TcpClosing], &raw.tcp_closing);
    set(&[State::TcpTimeWait], &raw.tcp_time_wait);
    set(&[State::TcpClosed], &raw.tcp_closed);
    set(&[State::UdpNew], &raw.udp);
    set(&[State::UdpReplied], &raw.udp_replied);
    set(&[State::IcmpNew, State::IcmpReplied], &raw.icmp);
    set(&[State::New], &raw.other);
    set(&[State::Replied], &raw.other_replied);
    settings
}

/// How many sessions each worker of a host has room for.
pub(super) fn room(raw: Option<&Located<Count>>, owner: &str, notes: &Notes) -> u32 {
    let Some(Located { at, value: Some(Count(room)) }) = raw else { return DEFAULT_ROOM };
    if *room < MIN_ROOM {
        notes.error(*at, format!("{owner}: room for {room} sessions is too little; give {MIN_ROOM} or more"));
    }
    *room
}

/// The limits that `raw` sets for `owner`, as "endpoint blue/web1"; what it does not say is as in `above`.
pub(super) fn limits(
    raw: Option<&Located<raw::SessionLimits>>,
    above: SessionLimits,
    owner: &str,
    notes: &Notes,
) -> SessionLimits {
    let Some(raw) = raw.and_then(|raw| raw.value.as_ref()) else { return above };
    let limits = SessionLimits {
        max: value_of(&raw.max).map(|count| count.0).or(above.max),
        opening: value_of(&raw.opening).map(|count| count.0).or(above.opening),
        rate: value_of(&raw.rate).map(|rate| rate.0).or(above.rate),
    };
    if let (Some(max), Some(opening)) = (limits.max, limits.opening)
        && opening > max
        && let Some(at) = raw.opening.as_ref().or(raw.max.as_ref()).map(|count| count.at)
    {
        let inherited = |own: bool| if own { "" } else { " (its tenant's)" };
        let (of_max, of_opening) = (inherited(raw.max.is_some()), inherited(raw.opening.is_some()));
        notes.error(
            at,
            format!(
                "{owner}: sessions.opening of {opening}{of_opening} is more than sessions.max of {max}{of_max}, \
                 of which it is a share; lower it, or raise max"
            ),
        );
    }
    limits
}
