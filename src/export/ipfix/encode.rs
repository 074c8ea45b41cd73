//! Messages of IPFIX: their templates and records (RFC 7011, section 3).
//!
//! By hand: what is sent is four kinds of records whose fields are known. A kind is written by one list, of which
//! [`Template`] takes the elements and [`Batch`] the values, so that the two cannot differ.

use weft_pipelines::Tick;

use super::{Delta, end_reason, firewall_event};
use crate::shm::field::REVERSE;
use crate::shm::record::{End, NOT_HERE, Record};

/// Bytes of a message's header.
pub const HEADER: usize = 16;
/// Bytes of a set's header.
const SET: usize = 4;
/// Bytes of IPv6's and UDP's headers.
const AROUND: usize = 48;
/// The least that an IPv6 link carries (RFC 8200, section 5).
pub const LEAST: usize = 1280;
/// Bytes of a name at most: a longer one is cut.
const NAME: usize = 250;
/// The version of IPFIX.
const VERSION: u16 = 10;
/// What layer2SegmentId has in its highest byte: the number is a VNI of VXLAN.
const VXLAN: u64 = 1 << 56;

/// The numbers of templates.
const FLOW_V4: u16 = 256;
const FLOW_V6: u16 = 257;
const DENIED_V4: u16 = 258;
const DENIED_V6: u16 = 259;
const TENANTS: u16 = 260;
const PORTS: u16 = 261;
const ICMP_V4: u16 = 262;
const ICMP_V6: u16 = 263;
const DENIED_ICMP_V4: u16 = 264;
const DENIED_ICMP_V6: u16 = 265;
/// The protocols whose records have a type and a code (RFC 792; RFC 4443).
const ICMP: u8 = 1;
const IPV6_ICMP: u8 = 58;

/// What takes fields one after the other.
trait Fields {
    /// A field: its element, and its value.
    fn put(&mut self, element: u16, value: &[u8]);
    /// The same of the opposite direction.
    fn put_reverse(&mut self, element: u16, value: &[u8]);
}

/// Lists a flow's fields. All moments are ticks from `base`, nanoseconds of UNIX time.
fn list(to: &mut impl Fields, record: &Record, delta: &Delta, base: u64) {
    let is_denied = record.end == End::Denied;
    let ms = |tick: Tick| (base.wrapping_add(tick.0) / 1_000_000).to_be_bytes();
    let port = |row: u32| if row == NOT_HERE { 0 } else { row + 1 }.to_be_bytes();
    to.put(152, &ms(delta.from)); // flowStartMilliseconds
    to.put(153, &ms(delta.to)); // flowEndMilliseconds
    match record.initiator.to_ipv4_mapped().zip(record.responder.to_ipv4_mapped()) {
        Some((initiator, responder)) if record.family == 4 => {
            to.put(8, &initiator.octets()); // sourceIPv4Address
            to.put(12, &responder.octets()); // destinationIPv4Address
        }
        _ => {
            to.put(27, &record.initiator.octets()); // sourceIPv6Address
            to.put(28, &record.responder.octets()); // destinationIPv6Address
        }
    }
    if is_icmp(record) {
        let element = if record.family == 4 { 32 } else { 139 };
        to.put(element, &record.responder_l4.to_be_bytes()); // icmpTypeCodeIPv4, icmpTypeCodeIPv6
    }
    // ICMP has no ports. Who knows it only as NetFlow has it takes type and code from the destination's, or from the
    // source's where that is not 0: so a query's identifier, which is no port, cannot stand there.
    let source = if is_icmp(record) { 0 } else { record.initiator_l4 };
    to.put(7, &source.to_be_bytes()); // sourceTransportPort
    to.put(11, &record.responder_l4.to_be_bytes()); // destinationTransportPort
    to.put(4, &[record.protocol]); // protocolIdentifier
    to.put(136, &[end_reason(record)]); // flowEndReason
    to.put(233, &[firewall_event(record)]); // firewallEvent
    to.put(239, &[1]); // biflowDirection: the source is the initiator
    to.put(10, &port(record.initiator_port)); // ingressInterface
    to.put(14, &port(record.responder_port)); // egressInterface
    to.put(234, &record.tenant.to_be_bytes()); // ingressVRFID
    to.put(351, &(VXLAN | u64::from(record.vni)).to_be_bytes()); // layer2SegmentId
    if is_denied {
        to.put(133, &delta.packets[0].to_be_bytes()); // droppedPacketDeltaCount
        to.put(132, &delta.bytes[0].to_be_bytes()); // droppedOctetDeltaCount
        return;
    }
    to.put(148, &record.flow.to_be_bytes()); // flowId
    to.put(2, &delta.packets[0].to_be_bytes()); // packetDeltaCount
    to.put(1, &delta.bytes[0].to_be_bytes()); // octetDeltaCount
    to.put(6, &u16::from(record.initiator_tcp_flags.0).to_be_bytes()); // tcpControlBits
    to.put_reverse(2, &delta.packets[1].to_be_bytes());
    to.put_reverse(1, &delta.bytes[1].to_be_bytes());
    to.put_reverse(6, &u16::from(record.responder_tcp_flags.0).to_be_bytes());
}

/// Whether a type and a code stand in place of the responder's port.
const fn is_icmp(record: &Record) -> bool {
    matches!((record.family, record.protocol), (4, ICMP) | (6, IPV6_ICMP))
}

/// What a number in a flow's record is called.
#[derive(Clone, Copy, Debug)]
pub enum Name<'a> {
    /// A tenant's, by ingressVRFID.
    Tenant(u32, &'a str),
    /// A port's, by the row in the switch's tables: its interface is one more, for 0 is none.
    Port(u32, &'a str),
}

/// The values of records, in sets.
#[derive(Clone, Debug)]
pub struct Batch {
    sets: Vec<u8>,
    records: u32,
    /// Where the set that is open begins, and its template.
    open: Option<(usize, u16)>,
    /// Bytes of a message.
    len: usize,
}

impl Batch {
    /// For a message that fits a packet of so many bytes, over whatever IP.
    pub fn new(mtu: usize) -> Self {
        Self::of_len(mtu.saturating_sub(AROUND))
    }

    /// For a message of so many bytes.
    pub fn of_len(len: usize) -> Self {
        Self { sets: Vec::with_capacity(len), records: 0, open: None, len }
    }

    /// Bytes that a message may have.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no records.
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How many records there are.
    pub const fn records(&self) -> u32 {
        self.records
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.sets.clear();
        (self.records, self.open) = (0, None);
    }

    /// Adds a flow; whether there was room.
    pub fn push(&mut self, record: &Record, delta: &Delta, base: u64) -> bool {
        self.add(template_of(record), |sets| list(&mut Values(sets), record, delta, base))
    }

    /// Adds a name; whether there was room.
    pub fn push_name(&mut self, name: &Name) -> bool {
        let (template, id, text) = match *name {
            Name::Tenant(id, text) => (TENANTS, id, text),
            Name::Port(id, text) => (PORTS, id + 1, text),
        };
        let text = &text.as_bytes()[..text.floor_char_boundary(NAME)];
        self.add(template, |sets| {
            sets.extend(id.to_be_bytes());
            // RFC 7011, section 7: a length of less than 255 is one byte.
            sets.push(text.len() as u8);
            sets.extend(text);
        })
    }

    fn add(&mut self, template: u16, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let (before, open) = (self.sets.len(), self.open);
        let start = match open {
            Some((start, of)) if of == template => start,
            _ => {
                self.sets.extend(template.to_be_bytes());
                self.sets.extend([0; 2]);
                before
            }
        };
        write(&mut self.sets);
        if HEADER + self.sets.len() > self.len {
            self.sets.truncate(before);
            return false;
        }
        let len = (self.sets.len() - start) as u16;
        self.sets[start + 2..start + SET].copy_from_slice(&len.to_be_bytes());
        (self.open, self.records) = (Some((start, template)), self.records + 1);
        true
    }

    /// The message, that `sequence` records came before.
    pub fn message(&self, now: u32, sequence: u32, domain: u32) -> Vec<u8> {
        message(&self.sets, now, sequence, domain)
    }
}

const fn template_of(record: &Record) -> u16 {
    match (is_icmp(record), record.end, record.family) {
        (false, End::Denied, 4) => DENIED_V4,
        (false, End::Denied, _) => DENIED_V6,
        (false, _, 4) => FLOW_V4,
        (false, ..) => FLOW_V6,
        (true, End::Denied, 4) => DENIED_ICMP_V4,
        (true, End::Denied, _) => DENIED_ICMP_V6,
        (true, _, 4) => ICMP_V4,
        (true, ..) => ICMP_V6,
    }
}

/// The messages that declare all templates: more than one, for each has to fit the smallest packet that can be asked for.
pub fn templates(now: u32, sequence: u32, domain: u32) -> [Vec<u8>; 2] {
    let of = |protocols: [u8; 2]| {
        let kinds = [(4, End::Open), (6, End::Open), (4, End::Denied), (6, End::Denied)];
        let template = |(family, end)| {
            let zero = core::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
            let protocol = protocols[usize::from(family == 6)];
            let record =
                Record { family, end, protocol, initiator: zero, responder: zero, ..Record::default() };
            let mut template = Template::default();
            list(&mut template, &record, &Delta::of_denied(&record), 0);
            let head = [template_of(&record), template.fields].into_iter().flat_map(u16::to_be_bytes);
            head.chain(template.specifiers).collect::<Vec<u8>>()
        };
        set(2, &kinds.into_iter().flat_map(template).collect::<Vec<u8>>())
    };
    let mut sets = of([0; 2]);
    let options = |number: u16, scope: u16, name: u16| {
        // Two fields, of which one is the scope (RFC 7011, section 3.4.2.2); a name's length varies.
        [number, 2, 1, scope, 4, name, u16::MAX].into_iter().flat_map(u16::to_be_bytes)
    };
    // VRFname by ingressVRFID, interfaceName by ingressInterface.
    let options: Vec<u8> = options(TENANTS, 234, 236).chain(options(PORTS, 10, 82)).collect();
    sets.extend(set(3, &options));
    [sets, of([ICMP, IPV6_ICMP])].map(|sets| message(&sets, now, sequence, domain))
}

fn set(number: u16, content: &[u8]) -> Vec<u8> {
    let head = [number, (SET + content.len()) as u16].into_iter().flat_map(u16::to_be_bytes);
    head.chain(content.iter().copied()).collect()
}

fn message(sets: &[u8], now: u32, sequence: u32, domain: u32) -> Vec<u8> {
    let head = [VERSION, (HEADER + sets.len()) as u16].into_iter().flat_map(u16::to_be_bytes);
    let rest = [now, sequence, domain].into_iter().flat_map(u32::to_be_bytes);
    head.chain(rest).chain(sets.iter().copied()).collect()
}

/// Takes the elements.
#[derive(Default)]
struct Template {
    specifiers: Vec<u8>,
    fields: u16,
}

impl Fields for Template {
    fn put(&mut self, element: u16, value: &[u8]) {
        self.specifiers.extend([element, value.len() as u16].into_iter().flat_map(u16::to_be_bytes));
        self.fields += 1;
    }

    fn put_reverse(&mut self, element: u16, value: &[u8]) {
        // An element of an enterprise has the highest bit set (RFC 7011, section 3.2).
        self.put(element | 0x8000, value);
        self.specifiers.extend(REVERSE.to_be_bytes());
    }
}

/// Takes the values.
struct Values<'a>(&'a mut Vec<u8>);

impl Fields for Values<'_> {
    fn put(&mut self, _: u16, value: &[u8]) {
        self.0.extend(value);
    }

    fn put_reverse(&mut self, _: u16, value: &[u8]) {
        self.0.extend(value);
    }
}
