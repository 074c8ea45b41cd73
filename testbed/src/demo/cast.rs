//! What the demo's guests can do, whoever plays them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::{Guests, MEMBERS, Member};
use crate::guest::smol::protocol::{TcpOutcome, TcpState};
use crate::guest::smol::{SmolGuests, frames};
use crate::{Lab, Result, transfer};

/// How long a ping is waited for that should be answered.
const PATIENT: Duration = Duration::from_secs(5);
/// How long one that should not be.
const SHORT: Duration = Duration::from_millis(400);
/// The longest that a transfer may take.
const TRANSFER: Duration = Duration::from_secs(60);
/// Where transfers go to.
const PORT: u16 = 5001;
/// Nobody's address and MAC.
const FORGED: (frames::Mac, Ipv4Addr) = ([2, 0, 0, 0, 0x66, 0x66], Ipv4Addr::new(10, 1, 0, 66));

/// The guests.
pub(super) enum Cast<'a> {
    Smol(&'a SmolGuests),
    Machines(&'a Lab),
}

impl<'a> Cast<'a> {
    pub(super) fn new(lab: &'a Lab, guests: Guests) -> Self {
        match guests {
            Guests::Smol => Self::Smol(lab.smol()),
            Guests::Vm => Self::Machines(lab),
        }
    }

    /// Whether `to` answers; one that is not meant to is not waited for long.
    pub(super) fn pings(&self, from: &Member, to: IpAddr, meant: bool) -> Result<bool> {
        match self {
            Self::Smol(guests) => {
                let report = guests.ping(from.name, to, 3, if meant { PATIENT } else { SHORT })?;
                Ok(if meant { report.lost == 0 } else { report.received > 0 })
            }
            Self::Machines(lab) => {
                let wait = if meant { "-c 3 -W 5" } else { "-c 1 -W 1" };
                let output = lab.guest(from.name).run(&format!("busybox ping {wait} {to}"), TRANSFER)?;
                let none = output.stdout.contains(" 0 packets received");
                Ok(if meant {
                    output.status == 0 && output.stdout.contains(" 0% packet loss")
                } else {
                    !none
                })
            }
        }
    }

    /// Sends `mib` MiB: in how many seconds, and whether what arrived is what was sent.
    pub(super) fn sends(&self, from: &Member, to: &Member, mib: u32) -> Result<(f64, bool)> {
        match self {
            Self::Smol(guests) => {
                guests.tcp_listen(to.name, PORT)?;
                // What is sent follows from the seed, so that no two transfers are alike.
                let seed =
                    Instant::now().elapsed().as_nanos() as u64 ^ u64::from(from.address.to_bits()) << 8;
                let seed = seed ^ from.name.bytes().map(u64::from).sum::<u64>();
                let to_port = (IpAddr::V4(to.address), PORT);
                let sent = guests.tcp_send(from.name, to_port, u64::from(mib) << 20, seed, TRANSFER)?;
                let received = guests.tcp_received(to.name, PORT, 1, PATIENT)?;
                let intact = sent.outcome == TcpOutcome::Delivered
                    && received.iter().any(|at| at.state == TcpState::Complete && at.sha256 == sent.sha256);
                Ok((sent.seconds, intact))
            }
            Self::Machines(lab) => {
                let start = Instant::now();
                let done = transfer(lab.guest(from.name), lab.guest(to.name), mib, TRANSFER)?;
                Ok((start.elapsed().as_secs_f64(), done.sent == done.received))
            }
        }
    }

    /// Has `from` claim to be another in all three ways.
    pub(super) fn forges(&self, from: &Member) -> Result<()> {
        match self {
            Self::Smol(guests) => {
                let own = frames_mac(from.mac);
                let victim =
                    MEMBERS.iter().find(|other| other.tenant() == from.tenant() && other.name != from.name);
                let to = victim.map_or((frames::BROADCAST, Ipv4Addr::BROADCAST), |victim| {
                    (frames_mac(victim.mac), victim.address)
                });
                let to_ip = (to.0, IpAddr::V4(to.1));
                let mark = b"forged";
                for frame in [
                    frames::udp((FORGED.0, IpAddr::V4(from.address)), to_ip, (7, 7), mark),
                    frames::udp((own, IpAddr::V4(FORGED.1)), to_ip, (7, 7), mark),
                    frames::arp_reply(own, (own, FORGED.1), to),
                ] {
                    guests.inject(from.name, &frame, 5)?;
                }
                Ok(())
            }
            Self::Machines(lab) => {
                let machine = lab.guest(from.name);
                let (ip, mac) = (FORGED.1, from.mac);
                let up = "busybox ip link set dev eth0 up";
                let down = "busybox ip link set dev eth0 down";
                for command in [
                    format!("busybox ip addr add {ip}/24 dev eth0; busybox ping -c 2 -W 1 -I {ip} 10.1.0.12"),
                    format!(
                        "busybox arping -c 2 -U -I eth0 -s {ip} {ip}; busybox ip addr del {ip}/24 dev eth0"
                    ),
                    format!("{down}; busybox ip link set dev eth0 address 02:00:00:00:66:66; {up}"),
                    format!(
                        "busybox ping -c 2 -W 1 10.1.0.12; {down}; busybox ip link set dev eth0 address {mac}; {up}"
                    ),
                ] {
                    // That nothing comes back is the point.
                    machine.run(&command, TRANSFER)?;
                }
                Ok(())
            }
        }
    }

    /// How many packets guests were sent that are not theirs. Only the stacks look: they mark what they send.
    pub(super) fn leaks(&self) -> Result<Option<u64>> {
        match self {
            Self::Smol(guests) => {
                let leaks = MEMBERS.iter().map(|member| Ok(guests.stats(member.name)?.leaks()));
                leaks.sum::<Result<u64>>().map(Some)
            }
            Self::Machines(_) => Ok(None),
        }
    }
}

fn frames_mac(text: &str) -> frames::Mac {
    let mut mac = [0; 6];
    for (octet, digits) in mac.iter_mut().zip(text.split(':')) {
        *octet = u8::from_str_radix(digits, 16).unwrap_or_default();
    }
    mac
}
