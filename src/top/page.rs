//! A view as lines of text: what the screen shows as much of as fits, and `--once` all.

use std::fmt::Write;

use super::sample::{Sample, Status};
use super::state::Top;
use super::text;
use super::views::{Shown, VIEWS, View};
use crate::report::text::time;

/// Rows of flows that are printed at most.
const FLOWS: usize = 100;

/// The cells of some rows of a view, with the widths that they need.
#[derive(Debug)]
pub struct Grid {
    /// The headings.
    pub heads: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    widths: Vec<usize>,
    view: &'static View,
}

impl Grid {
    /// Those of the rows `rows`; the heading of the column `sort` says that it is.
    pub fn new(view: &'static View, shown: Shown<'_>, rows: &[usize], sort: (usize, bool)) -> Self {
        let heads: Vec<String> = view.columns.iter().map(|column| column.name.to_owned()).collect();
        let columns = 0..view.columns.len();
        let cells =
            |row: &usize| columns.clone().map(|column| (view.cell)(shown, *row, column).text()).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        let mut grid = Self { heads, rows, widths: Vec::new(), view };
        if let Some(head) = grid.heads.get_mut(sort.0) {
            head.push(if sort.1 { '^' } else { 'v' });
        }
        grid.widths = columns.map(|column| grid.width(column)).collect();
        grid
    }

    fn width(&self, column: usize) -> usize {
        // Room for a sign, so that columns do not move when another one is sorted by; and for most rates.
        let least = self.view.columns[column].name.len() + 1;
        let widths = self.rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default().max(least)
    }

    /// A line of these cells.
    pub fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for ((text, width), column) in cells.iter().zip(&self.widths).zip(self.view.columns) {
            let blank = width.saturating_sub(text.chars().count());
            let (before, after) = if column.is_number { (blank, 0) } else { (0, blank) };
            // To a string nothing can fail to be written.
            let _ =
                write!(line, "{}{:before$}{text}{:after$}", if line.is_empty() { "" } else { " " }, "", "");
        }
        line
    }
}

/// Who it is.
pub fn title(sample: &Sample) -> String {
    let head = &sample.head;
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let (host, version) = (or(&head.host, "?"), or(&head.version, "?"));
    let (up, since) = (time(head.now), text::date(head.started));
    clean(&format!("weft {host}  {version}  epoch {}  up {up}, since {since} UTC", head.epoch))
}

/// What it does.
pub fn totals(sample: &Sample) -> String {
    let traffic = &sample.head.traffic;
    let load = match sample.workers.as_slice() {
        [] => "-".to_owned(),
        [only] => text::share(only.load),
        workers => {
            let mean = workers.iter().map(|worker| worker.load).sum::<f64>() / workers.len() as f64;
            let most = workers.iter().map(|worker| worker.load).fold(0.0, f64::max);
            format!("{} of {} workers, {} at most", text::share(mean), workers.len(), text::share(most))
        }
    };
    format!(
        "in {} pkt/s {} bit/s  out {} pkt/s {} bit/s  drops {}/s  load {load}  records lost {}",
        text::rate(traffic.rx_packets),
        text::rate(traffic.rx_bits),
        text::rate(traffic.tx_packets),
        text::rate(traffic.tx_bits),
        text::rate(traffic.drops),
        sample.head.lost,
    )
}

/// What is to be said of a switch that does not just run.
pub fn status(status: &Status) -> Option<String> {
    match status {
        Status::Running => None,
        Status::Superseded => Some("the switch goes on in another file: waiting for it".to_owned()),
        Status::Silent(seconds) => Some(format!("the switch has shown no life for {seconds} s")),
        Status::Ended => Some("the switch has ended: waiting for it to start again".to_owned()),
        Status::Unreadable(why) => Some(clean(why)),
    }
}

/// What is selected, explained: of a drop reason its meaning; of services what their times are.
pub fn meaning(top: &Top) -> Option<&str> {
    match top.view().name {
        "Drops" => {
            let table = top.table();
            top.sample.drops.get(*table.order.get(table.selected)?).map(|drop| drop.help.as_str())
        }
        "Services" | "DNS" => Some("times are p50/p95/p99, since the switch started"),
        _ => None,
    }
}

/// The views `views`, one after the other.
pub fn once(top: &mut Top, views: impl IntoIterator<Item = usize>) -> String {
    let mut text = format!("{}\n{}\n", title(&top.sample), totals(&top.sample));
    if let Some(status) = status(&top.sample.status) {
        text += &format!("{status}\n");
    }
    for view in views {
        top.show(view);
        text += &format!("\n{}\n", VIEWS[view].name);
        let (view, table) = (top.view(), top.table());
        let most = if view.name == "Flows" { FLOWS } else { usize::MAX };
        let rows = &table.order[..table.order.len().min(most)];
        if rows.is_empty() {
            text += &format!("{}\n", view.nothing);
            continue;
        }
        let grid = Grid::new(view, top.shown(), rows, (usize::MAX, false));
        for cells in std::iter::once(&grid.heads).chain(&grid.rows) {
            text += grid.line(cells).trim_end();
            text.push('\n');
        }
        let left = table.order.len() - rows.len();
        if left > 0 {
            text += &format!("and {left} more\n");
        }
    }
    text
}

fn clean(text: &str) -> String {
    text.chars().map(|of| if of.is_control() { '?' } else { of }).collect()
}
