//! What is assured and bounded of traffic, and what came of it: a table for each, of the same rows.

use super::{Columns, bytes, left, list, or_dash, right, share};
use crate::config::scalar::{PacketRate, Rate, Size};
use crate::report::text::span;
use crate::report::{ClassReport, QosReport, QueueReport};

/// Limits, what guests sent, and what was sent to them and into the fabric.
pub(in crate::cli) fn qos(rows: &[QosReport]) -> String {
    if rows.is_empty() {
        return "no endpoints on this host\n".to_owned();
    }
    let queue = |name, of: fn(&QosReport) -> &QueueReport| queues(name, rows, of);
    let tables = [
        limits(rows),
        sent(rows),
        queue("TO-GUEST", |row| &row.to_guest),
        queue("TO-FABRIC", |row| &row.to_fabric),
    ];
    tables.join("\n")
}

fn limits(rows: &[QosReport]) -> String {
    let mut table = Columns::new([
        left("LIMITS"),
        right("RATE"),
        right("CEIL"),
        right("BURST"),
        right("PPS"),
        right("WEIGHT"),
        left("CLASSES"),
    ]);
    for QosReport { name, limits, classes, .. } in rows {
        let classes: Vec<String> = classes.iter().map(class).collect();
        table.row([
            name.clone(),
            or_dash(limits.rate_bits_per_s.map(Rate)),
            or_dash(limits.ceil_bits_per_s.map(Rate)),
            or_dash(limits.burst_bytes.map(Size)),
            or_dash(limits.packets_per_s.map(PacketRate)),
            limits.weight.to_string(),
            list(&classes),
        ]);
    }
    table.or("")
}

fn class(ClassReport { name, strict, weight }: &ClassReport) -> String {
    if *strict { format!("{name} strict") } else { format!("{name} {weight}") }
}

fn sent(rows: &[QosReport]) -> String {
    let mut table = Columns::new([
        left("SENT"),
        right("PACKETS"),
        right("BYTES"),
        right("BEYOND-RATE"),
        right("HELD-BACK"),
        right("CYCLES"),
        right("OF-WORKER"),
    ]);
    for QosReport { name, sent, .. } in rows {
        table.row([
            name.clone(),
            measured(sent.passed_packets, sent.passed_packets.to_string()),
            measured(sent.passed_packets, bytes(sent.passed_bytes)),
            measured(sent.passed_packets, sent.beyond_rate_packets.to_string()),
            measured(sent.held_back_ns, span(sent.held_back_ns)),
            sent.cycles.to_string(),
            share(sent.cycles, sent.worker_busy_cycles),
        ]);
    }
    table.or("")
}

fn queues(title: &str, rows: &[QosReport], of: fn(&QosReport) -> &QueueReport) -> String {
    let mut table = Columns::new([
        left(title),
        right("PACKETS"),
        right("BYTES"),
        right("WAITED"),
        right("MEAN-WAIT"),
        right("LONGEST"),
        right("MARKED"),
        right("DROPPED"),
    ]);
    for row in rows {
        let queue = of(row);
        let waited = queue.mean_wait_ns();
        table.row([
            row.name.clone(),
            measured(queue.passed_packets, queue.passed_packets.to_string()),
            measured(queue.passed_packets, bytes(queue.passed_bytes)),
            measured(queue.passed_packets, queue.waited_packets.to_string()),
            or_dash(waited.map(span)),
            or_dash(waited.map(|_| span(queue.longest_wait_ns))),
            queue.marked_packets.to_string(),
            queue.dropped_packets.to_string(),
        ]);
    }
    table.or("")
}

/// What is told of so many, or a dash if there were none, or none that were counted there.
fn measured(count: u64, text: String) -> String {
    if count == 0 { "-".to_owned() } else { text }
}
