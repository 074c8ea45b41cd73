//! The demo's tables.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

use super::Speed;
use crate::host::Ledger;

/// Who reached whom.
pub(super) struct Reach {
    pub(super) addresses: Vec<Ipv4Addr>,
    /// A guest, and what it found at each address.
    pub(super) rows: Vec<(&'static str, Vec<Cell>)>,
}

/// What a guest found at an address.
pub(super) enum Cell {
    /// It is its own.
    Itself,
    /// An answer or none, beside whether there should be one.
    Reached { reached: bool, meant: bool },
}

pub(super) fn reach(reach: &Reach) -> Table {
    let mut table = plain();
    table.set_header(
        std::iter::once("from".to_owned()).chain(reach.addresses.iter().map(ToString::to_string)),
    );
    for (from, cells) in &reach.rows {
        let cells = cells.iter().map(|cell| match cell {
            Cell::Itself => "-",
            Cell::Reached { reached: true, meant: true } => "yes",
            Cell::Reached { reached: false, meant: false } => "no",
            Cell::Reached { reached: true, meant: false } => "YES, and should not",
            Cell::Reached { reached: false, meant: true } => "NO, and should",
        });
        table.add_row(std::iter::once(*from).chain(cells));
    }
    table
}

pub(super) fn speeds(speeds: &[Speed]) -> Table {
    let mut table = plain();
    table.set_header(["from", "to", "way", "MiB", "seconds", "Mbit/s", "intact"]);
    for speed in speeds {
        let rate = f64::from(speed.mib) * 8.388_608 / speed.seconds;
        table.add_row([
            speed.from.to_owned(),
            speed.to.to_owned(),
            speed.way.to_owned(),
            speed.mib.to_string(),
            format!("{:.2}", speed.seconds),
            format!("{rate:.0}"),
            if speed.intact { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    to_the_right(&mut table, 3..6);
    table
}

/// `shown` is what `weft show drops --json` says, by host.
pub(super) fn drops(shown: &[Value]) -> Table {
    let mut table = plain();
    table.set_header(["port", "reason", "packets", "what it means"]);
    for reason in shown.iter().filter_map(Value::as_array).flatten() {
        for (port, packets) in reason["by_port"].as_object().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            table.add_row([
                port.clone(),
                text(&reason["reason"]),
                packets.to_string(),
                text(&reason["help"]),
            ]);
        }
    }
    to_the_right(&mut table, 2..3);
    table
}

pub(super) fn ledgers(ledgers: &BTreeMap<String, Ledger>) -> Table {
    let mut table = plain();
    table.set_header(["host", "port", "rx", "tx", "drops"]);
    for (host, ledger) in ledgers {
        for (name, port) in &ledger.ports {
            let drops: u64 = port.drops.values().sum();
            table.add_row([
                host.clone(),
                name.clone(),
                port.rx.to_string(),
                port.tx.to_string(),
                drops.to_string(),
            ]);
        }
        let total = |name: &str| ledger.totals.get(name).copied().unwrap_or_default();
        table.add_row([
            host.clone(),
            "all".to_owned(),
            format!("{} (+{} copies +{} own)", total("rx"), total("replicated"), total("originated")),
            total("tx").to_string(),
            format!("{} (+{} consumed)", total("drops"), total("consumed")),
        ]);
    }
    to_the_right(&mut table, 2..5);
    table
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn to_the_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
