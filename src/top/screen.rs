//! Draws a switch on a terminal of whatever size.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Sparkline, Wrap};

use super::history::History;
use super::page::{self, Grid};
use super::sample::Status;
use super::state::{Prompt, Top};
use super::text;
use super::views::VIEWS;

/// The keys, as they are shown.
pub const KEYS: &str = "\
Tab, arrows, 1 to 8   another view
up, down, PgUp, PgDn  move (also k, j)
Home, End             first, last (also g, G)
< >, F6               column to sort by
r, I                  the other way about
/, F3, F4             only rows with a text
Esc                   all rows again
space, p              stop, go on
d, s                  seconds between looks
c                     names, addresses of flows
h, ?, F1              these keys
q, F10, Ctrl-C        end";

/// How things look.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Whether there may be colours; without them bold and reverse do.
    pub colour: bool,
}

impl Theme {
    fn of(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Draws all of it. When there is little room the rows stay longest.
pub fn draw(frame: &mut Frame<'_>, top: &mut Top, theme: Theme) {
    let (area, meaning) = (frame.area(), page::meaning(top).map(str::to_owned));
    let rows = |from: u16, rows: u16| if area.height >= from { rows } else { 0 };
    let has_meaning = meaning.is_some();
    let [title, totals, charts, tabs, table, help, status] = Layout::vertical([
        Constraint::Length(rows(6, 1)),
        Constraint::Length(rows(7, 1)),
        Constraint::Length(rows(9, 1)),
        Constraint::Length(rows(4, 1)),
        Constraint::Min(1),
        Constraint::Length(if has_meaning { rows(12, 2) } else { 0 }),
        Constraint::Length(rows(3, 1)),
    ])
    .areas(area);
    frame.render_widget(Line::styled(page::title(&top.sample), BOLD), title);
    frame.render_widget(Line::raw(page::totals(&top.sample)), totals);
    draw_charts(frame, top, theme, charts);
    frame.render_widget(tab_line(top), tabs);
    draw_table(frame, top, theme, table);
    if let Some(meaning) = meaning {
        frame.render_widget(Paragraph::new(meaning).wrap(Wrap { trim: true }), help);
    }
    frame.render_widget(status_line(top, theme), status);
    if top.is_help {
        draw_keys(frame, area);
    }
}

fn draw_charts(frame: &mut Frame<'_>, top: &Top, theme: Theme, area: Rect) {
    let halves: [Rect; 2] = Layout::horizontal([Constraint::Ratio(1, 2); 2]).areas(area);
    let charts = [("pkt/s", &top.sample.packets, Color::Green), ("drops/s", &top.sample.dropped, Color::Red)];
    for (half, (name, history, colour)) in halves.into_iter().zip(charts) {
        let last = history.numbers().next_back().unwrap_or_default();
        let label = format!("{name} {:>5} ", text::rate(last as f64));
        let [left, right] =
            Layout::horizontal([Constraint::Length(label.len() as u16), Constraint::Min(0)]).areas(half);
        frame.render_widget(Line::raw(label), left);
        // The last column of a half stays free.
        let right = Rect { width: right.width.saturating_sub(1), ..right };
        let chart = Sparkline::default().data(fitting(history, right.width)).style(theme.of(colour));
        frame.render_widget(chart, right);
    }
}

/// The newest numbers that there is room for.
fn fitting(history: &History, width: u16) -> Vec<u64> {
    let numbers = history.numbers();
    let left = numbers.len().saturating_sub(width.into());
    numbers.skip(left).collect()
}

fn tab_line(top: &Top) -> Line<'static> {
    let tab = |(number, view): (usize, &super::views::View)| {
        let style = if number == top.view_number() { REVERSED } else { Style::new() };
        [Span::styled(format!(" {} {} ", number + 1, view.name), style), Span::raw(" ")]
    };
    Line::from_iter(VIEWS.iter().enumerate().flat_map(tab))
}

fn draw_table(frame: &mut Frame<'_>, top: &mut Top, theme: Theme, area: Rect) {
    // The first line has the headings, if there is a second.
    let has_heads = area.height > 1;
    let room = area.height - u16::from(has_heads);
    top.fit(room.into());
    let (view, table) = (top.view(), top.table());
    let end = table.order.len().min(table.first + usize::from(room));
    let rows = &table.order[table.first.min(end)..end];
    let grid = Grid::new(view, top.shown(), rows, (table.sort, table.is_reversed));
    let mut lines = Vec::new();
    if has_heads {
        lines.push(Line::styled(grid.line(&grid.heads), theme.of(Color::Cyan).add_modifier(Modifier::BOLD)));
    }
    if rows.is_empty() {
        let nothing = if table.filter.is_empty() { view.nothing } else { "no row has this text" };
        lines.push(Line::raw(nothing));
    }
    for (place, cells) in grid.rows.iter().enumerate() {
        let line = grid.line(cells);
        let is_selected = table.first + place == table.selected;
        let width = usize::from(area.width);
        lines.push(match is_selected {
            true => Line::styled(format!("{line:width$}"), REVERSED),
            false => Line::raw(line),
        });
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn status_line(top: &Top, theme: Theme) -> Line<'static> {
    let table = top.table();
    if let Some((prompt, text)) = &top.prompt {
        let what = match prompt {
            Prompt::Filter => "only rows with: ",
            Prompt::Interval => "seconds between looks: ",
        };
        return Line::from_iter([
            Span::styled(what, BOLD),
            Span::raw(text.clone()),
            Span::styled(" ", REVERSED),
        ]);
    }
    let warning = theme.of(Color::Yellow).add_modifier(Modifier::BOLD);
    if let Some(said) = top.complaint.clone().or_else(|| page::status(&top.sample.status)) {
        return Line::styled(said, warning);
    }
    let mut spans = Vec::new();
    if top.is_paused && top.sample.status == Status::Running {
        spans.push(Span::styled("stopped: space goes on  ", warning));
    }
    let rows = (top.view().rows)(&top.sample);
    let count = match table.order.len() {
        shown if table.filter.is_empty() => format!("{shown} rows"),
        shown => format!("{shown} of {rows} rows, with `{}` (Esc: all)", table.filter),
    };
    let interval = top.interval.as_secs_f64();
    spans.push(Span::raw(format!("{count}  every {interval} s  h: keys  q: end")));
    Line::from(spans)
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<Line<'_>> = KEYS.lines().map(|line| Line::raw(format!(" {line}"))).collect();
    let (width, height) = (50, lines.len() as u16);
    let (width, height) = (area.width.min(width), area.height.min(height));
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).style(REVERSED), place);
}
