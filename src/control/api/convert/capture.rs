//! Captures.

use super::{all, v1};
use crate::capture::{Captured, Chunk, End, Interface, PortCount, Spec};

impl From<Spec> for v1::CaptureRequest {
    fn from(Spec { ports, filter, inward, outward, snap, count, duration_ns }: Spec) -> Self {
        Self { ports, filter, inward, outward, snap, count, duration_ns }
    }
}

impl From<v1::CaptureRequest> for Spec {
    fn from(request: v1::CaptureRequest) -> Self {
        let v1::CaptureRequest { ports, filter, inward, outward, snap, count, duration_ns } = request;
        Self { ports, filter, inward, outward, snap, count, duration_ns }
    }
}

impl From<Chunk> for v1::CaptureResponse {
    fn from(Chunk { id, ports, packets, end }: Chunk) -> Self {
        Self { id, ports: all(ports), packets: all(packets), end: end.map(Into::into) }
    }
}

impl From<v1::CaptureResponse> for Chunk {
    fn from(v1::CaptureResponse { id, ports, packets, end }: v1::CaptureResponse) -> Self {
        Self { id, ports: all(ports), packets: all(packets), end: end.map(Into::into) }
    }
}

impl From<Interface> for v1::CapturedPort {
    fn from(Interface { port, name, attach }: Interface) -> Self {
        Self { port, name, attach }
    }
}

impl From<v1::CapturedPort> for Interface {
    fn from(v1::CapturedPort { port, name, attach }: v1::CapturedPort) -> Self {
        Self { port, name, attach }
    }
}

impl From<Captured> for v1::CapturedPacket {
    fn from(Captured { unix_ns, port, out, len, data, dropped }: Captured) -> Self {
        Self { unix_ns, port, out, len, data, dropped }
    }
}

impl From<v1::CapturedPacket> for Captured {
    fn from(v1::CapturedPacket { unix_ns, port, out, len, data, dropped }: v1::CapturedPacket) -> Self {
        Self { unix_ns, port, out, len, data, dropped }
    }
}

impl From<End> for v1::CaptureEnd {
    fn from(End { why, ports }: End) -> Self {
        Self { why, ports: all(ports) }
    }
}

impl From<v1::CaptureEnd> for End {
    fn from(v1::CaptureEnd { why, ports }: v1::CaptureEnd) -> Self {
        Self { why, ports: all(ports) }
    }
}

impl From<PortCount> for v1::CaptureCount {
    fn from(PortCount { port, seen, meant, lost }: PortCount) -> Self {
        Self { port, seen, meant, lost }
    }
}

impl From<v1::CaptureCount> for PortCount {
    fn from(v1::CaptureCount { port, seen, meant, lost }: v1::CaptureCount) -> Self {
        Self { port, seen, meant, lost }
    }
}
