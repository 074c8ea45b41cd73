//! What a person sees of a switch, and what keys make of it.

use std::time::Duration;

use super::sample::Sample;
use super::views::{Cell, Shown, VIEWS, View};

/// Seconds from one look to the next: the least and the most.
pub const INTERVAL: (f64, f64) = (0.1, 60.0);
/// Letters of what is typed, at most.
const TYPED: usize = 64;

/// A key, without the terminal that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter, digit or sign.
    Char(char),
    /// A letter with Ctrl.
    Ctrl(char),
    /// A function key.
    F(u8),
    /// Enter.
    Enter,
    /// Esc.
    Escape,
    /// Backspace.
    Backspace,
    /// Tab.
    Tab,
    /// Shift-Tab.
    BackTab,
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

/// What is typed at the bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// The text that rows have to have.
    Filter,
    /// The time between two looks.
    Interval,
}

/// A switch, and how it is looked at.
#[derive(Debug)]
pub struct Top {
    /// The switch at the last look.
    pub sample: Sample,
    /// The time between two looks.
    pub interval: Duration,
    /// Whether it is not looked at for now.
    pub is_paused: bool,
    /// Whether the keys are shown.
    pub is_help: bool,
    /// Whether it is to end.
    pub is_over: bool,
    /// Addresses in place of names.
    pub numeric: bool,
    /// What is typed, and so far.
    pub prompt: Option<(Prompt, String)>,
    /// What was wrong with what was typed.
    pub complaint: Option<String>,
    /// Rows that fit on the screen, as it was drawn last.
    pub page: usize,
    view: usize,
    tables: [Table; VIEWS.len()],
}

/// How one view is looked at.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The column that it is sorted by.
    pub sort: usize,
    /// Whether the other way about.
    pub is_reversed: bool,
    /// What rows have to have in one of their cells.
    pub filter: String,
    /// The rows, as they are shown.
    pub order: Vec<usize>,
    /// The one that is meant, in this order.
    pub selected: usize,
    /// The first on the screen.
    pub first: usize,
    /// What the selected one is of; the first row is the first, whatever it is.
    key: Option<u64>,
}

impl Top {
    /// A switch, to be looked at with this time between two looks.
    pub fn new(sample: Sample, interval: Duration) -> Self {
        let tables = VIEWS.each_ref().map(|view| Table { sort: view.sort, ..Table::default() });
        let mut top = Self {
            sample,
            interval,
            is_paused: false,
            is_help: false,
            is_over: false,
            numeric: false,
            prompt: None,
            complaint: None,
            page: 1,
            view: 0,
            tables,
        };
        top.arrange();
        top
    }

    /// The number of the view that is shown.
    pub const fn view_number(&self) -> usize {
        self.view
    }

    /// The view that is shown.
    pub fn view(&self) -> &'static View {
        &VIEWS[self.view]
    }

    /// How it is looked at.
    pub fn table(&self) -> &Table {
        &self.tables[self.view]
    }

    /// What is shown, and how.
    pub const fn shown(&self) -> Shown<'_> {
        Shown { sample: &self.sample, numeric: self.numeric }
    }

    /// Shows view number `view`.
    pub fn show(&mut self, view: usize) {
        self.view = view % VIEWS.len();
        self.arrange();
    }

    /// Puts the rows into their order: after a look, and whenever something else is to be shown.
    pub fn arrange(&mut self) {
        let (view, shown) = (&VIEWS[self.view], Shown { sample: &self.sample, numeric: self.numeric });
        let table = &mut self.tables[self.view];
        let filter = table.filter.to_lowercase();
        let has = |row: &usize| {
            let mut cells = (0..view.columns.len()).filter(|column| !view.columns[*column].is_number);
            filter.is_empty()
                || cells
                    .any(|column| (view.cell)(shown, *row, column).text().to_lowercase().contains(&filter))
        };
        let mut rows: Vec<(Cell<'_>, usize)> = (0..(view.rows)(shown.sample))
            .filter(has)
            .map(|row| ((view.cell)(shown, row, table.sort), row))
            .collect();
        // Numbers descend, but for names that are numbers.
        let descends = (view.columns[table.sort].is_number && table.sort > 0) != table.is_reversed;
        rows.sort_by(|(one, _), (other, _)| if descends { other.order(one) } else { one.order(other) });
        table.order = rows.into_iter().map(|(_, row)| row).collect();
        if let Some(key) = table.key {
            let place = table.order.iter().position(|row| (view.key)(shown.sample, *row) == key);
            table.selected = place.unwrap_or(table.selected);
        }
        self.select(self.table().selected);
    }

    /// Makes the screen show the selected row among `page` rows.
    pub fn fit(&mut self, page: usize) {
        self.page = page.max(1);
        let page = self.page;
        let table = &mut self.tables[self.view];
        let last = table.order.len().saturating_sub(page);
        table.first =
            table.first.min(table.selected).max((table.selected + 1).saturating_sub(page)).min(last);
    }

    fn select(&mut self, row: usize) {
        let key = VIEWS[self.view].key;
        let table = &mut self.tables[self.view];
        table.selected = row.min(table.order.len().saturating_sub(1));
        let row = table.order.get(table.selected).filter(|_| table.selected > 0);
        table.key = row.map(|row| key(&self.sample, *row));
    }

    /// Does what `key` means.
    pub fn press(&mut self, key: Key) {
        self.complaint = None;
        match (key, &self.prompt) {
            (Key::Ctrl('c'), _) => self.is_over = true,
            (_, Some((prompt, _))) => self.typed(*prompt, key),
            _ if self.is_help => self.helped(key),
            _ => self.command(key),
        }
    }

    fn helped(&mut self, key: Key) {
        self.is_help = false;
        // What shows the keys or puts them away does no more; all else is done at once.
        if !matches!(key, Key::Escape | Key::Enter | Key::Char('h' | '?' | ' ') | Key::F(1)) {
            self.command(key);
        }
    }

    fn command(&mut self, key: Key) {
        let selected = self.table().selected;
        let view = self.view;
        match key {
            Key::Char('q') | Key::F(10) => self.is_over = true,
            Key::Char('h' | '?') | Key::F(1) => self.is_help = true,
            Key::Tab | Key::Right => self.show(view + 1),
            Key::BackTab | Key::Left => self.show(view + VIEWS.len() - 1),
            Key::Char(digit @ '1'..='8') => self.show(digit as usize - '1' as usize),
            Key::Up | Key::Char('k') => self.select(selected.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.select(selected + 1),
            Key::PageUp => self.select(selected.saturating_sub(self.page)),
            Key::PageDown => self.select(selected + self.page),
            Key::Home | Key::Char('g') => self.select(0),
            Key::End | Key::Char('G') => self.select(usize::MAX),
            Key::Char('<') => self.sort(self.view().columns.len() - 1),
            Key::Char('>') | Key::F(6) => self.sort(1),
            Key::Char('r' | 'I') => {
                self.tables[view].is_reversed ^= true;
                self.arrange();
            }
            Key::Char('/') | Key::F(3 | 4) => {
                self.prompt = Some((Prompt::Filter, self.table().filter.clone()));
            }
            Key::Char('d' | 's') => self.prompt = Some((Prompt::Interval, String::new())),
            Key::Escape => self.filter(String::new()),
            Key::Char(' ' | 'p') => self.is_paused ^= true,
            Key::Char('c') => {
                self.numeric ^= true;
                self.arrange();
            }
            _ => {}
        }
    }

    fn sort(&mut self, by: usize) {
        let columns = self.view().columns.len();
        let table = &mut self.tables[self.view];
        table.sort = (table.sort + by) % columns;
        table.is_reversed = false;
        self.arrange();
    }

    fn filter(&mut self, text: String) {
        self.tables[self.view].filter = text;
        self.arrange();
    }

    fn typed(&mut self, prompt: Prompt, key: Key) {
        let Some((_, text)) = &mut self.prompt else { return };
        match key {
            Key::Char(letter) if text.chars().count() < TYPED => text.push(letter),
            Key::Backspace => drop(text.pop()),
            Key::Ctrl('u') => text.clear(),
            Key::Enter => {
                let text = self.prompt.take().map(|(_, text)| text).unwrap_or_default();
                match prompt {
                    Prompt::Filter => return,
                    Prompt::Interval => return self.wait(&text),
                }
            }
            Key::Escape => {
                self.prompt = None;
                if prompt == Prompt::Filter {
                    self.filter(String::new());
                }
                return;
            }
            _ => return,
        }
        // What is filtered by shows while it is typed.
        if let Some((Prompt::Filter, text)) = &self.prompt {
            self.filter(text.clone());
        }
    }

    fn wait(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match interval(text) {
            Ok(interval) => self.interval = interval,
            Err(error) => self.complaint = Some(error),
        }
    }
}

/// The time between two looks, from seconds.
///
/// # Errors
///
/// When that is no number, or not between the least and the most.
pub fn interval(text: &str) -> Result<Duration, String> {
    let (least, most) = INTERVAL;
    let seconds = text.trim().parse::<f64>().ok().filter(|seconds| (least..=most).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("`{text}` is no number of seconds from {least} to {most}"))
}
