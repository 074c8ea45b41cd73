//! `weft top`: what a running switch does, from moment to moment.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use thiserror::Error;

use super::show::Target;
use crate::control::runtime_dir::RuntimeDirError;
use crate::shm::ReadError;
use crate::top::screen::{self, Theme};
use crate::top::views::VIEWS;
use crate::top::{Key, Source, Top, page, state};

/// The longest time in which a signal is not seen.
const NOTICE: Duration = Duration::from_millis(100);

/// Shows what a running switch does: tenants, endpoints, flows, drops, workers, rules and services, as tables that renew themselves.
/// It reads the switch's memory and asks it nothing.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Seconds between two looks, from 0.1 to 60
    #[arg(long, short, value_name = "SECONDS", default_value = "1", value_parser = state::interval)]
    interval: Duration,
    /// The view to begin with
    #[arg(long, short, value_enum, value_name = "NAME")]
    view: Option<Start>,
    /// Print addresses in place of the endpoints' names
    #[arg(long, short)]
    numeric: bool,
    /// Look twice, print each view (or that of --view) as text, and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    at: Target,
}

/// The views, in the order of the tabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Start {
    Tenants,
    Endpoints,
    Flows,
    Drops,
    Workers,
    Rules,
    Services,
    Dns,
}

/// Shows the switch until it is told to end.
pub fn run(args: Args) -> ExitCode {
    match top(&args) {
        Ok(code) => code,
        Err(error) => {
            super::say(format_args!("weft: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Why nothing is shown.
#[derive(Debug, Error)]
enum TopError {
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("standard {0} is not a terminal; `weft top --once` prints text")]
    NoTerminal(&'static str),
    #[error("the terminal can't place text (TERM is `{0}`); `weft top --once` prints text")]
    Dumb(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn top(args: &Args) -> Result<ExitCode, TopError> {
    if !args.once {
        able()?;
    }
    let path = args.at.stats()?;
    let start = Instant::now();
    let (mut source, sample) = Source::open(&path, Duration::ZERO)?;
    let mut top = Top::new(sample, args.interval);
    top.numeric = args.numeric;
    if args.once {
        thread::sleep(args.interval);
        source.look(&mut top.sample, start.elapsed());
        let views = args.view.map_or(0..VIEWS.len(), |view| view as usize..view as usize + 1);
        super::print(&page::once(&mut top, views))?;
        return Ok(ExitCode::SUCCESS);
    }
    top.show(args.view.map_or(0, |view| view as usize));
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGTERM, SIGHUP, SIGINT] {
        signal_hook::flag::register_usize(number, signal.clone(), number as usize)?;
    }
    // It puts the terminal back when the program panics, too.
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, &mut top, &mut source, start, &signal);
    let restored = ratatui::try_restore();
    shown?;
    restored?;
    Ok(match signal.load(Ordering::Relaxed) {
        0 => ExitCode::SUCCESS,
        number => ExitCode::from(128 + number as u8),
    })
}

/// Whether there is a terminal to show it on.
fn able() -> Result<(), TopError> {
    if !io::stdout().is_terminal() {
        return Err(TopError::NoTerminal("output"));
    }
    if !io::stdin().is_terminal() {
        return Err(TopError::NoTerminal("input"));
    }
    let term = std::env::var("TERM").unwrap_or_default();
    if term.is_empty() || term == "dumb" { Err(TopError::Dumb(term)) } else { Ok(()) }
}

fn show(
    terminal: &mut DefaultTerminal,
    top: &mut Top,
    source: &mut Source,
    start: Instant,
    signal: &AtomicUsize,
) -> io::Result<()> {
    // See https://no-color.org.
    let theme = Theme { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
    let (mut looked, mut is_stale) = (Instant::now(), true);
    while !top.is_over && signal.load(Ordering::Relaxed) == 0 {
        if is_stale {
            terminal.draw(|frame| screen::draw(frame, top, theme))?;
        }
        let left = top.interval.saturating_sub(looked.elapsed());
        let wait = if top.is_paused { NOTICE } else { left.min(NOTICE) };
        // Keys that come all the time are no reason not to look.
        is_stale = if wait.is_zero() {
            looked = Instant::now();
            source.look(&mut top.sample, start.elapsed());
            top.arrange();
            true
        } else if is_gone(wait)? {
            return Ok(());
        } else if event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                pressed(terminal, top, key)?;
            }
            true
        } else {
            false
        };
    }
    Ok(())
}

/// Waits for a key, a signal or the end of `wait`. Whether there is no terminal any more: crossterm would read its end
/// for ever.
fn is_gone(wait: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut input = [PollFd::new(&stdin, PollFlags::IN)];
    let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.min(NOTICE).subsec_nanos()) };
    match poll(&mut input, Some(&wait)) {
        Ok(_) => Ok(input[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)),
        // A signal; that the size has changed is one.
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn pressed(terminal: &mut DefaultTerminal, top: &mut Top, event: KeyEvent) -> io::Result<()> {
    match key(event) {
        Some(Key::Ctrl('z')) => {
            ratatui::try_restore()?;
            // Returns when the shell lets it go on.
            kill_process(getpid(), Signal::TSTP)?;
            *terminal = ratatui::try_init()?;
        }
        Some(Key::Ctrl('l')) => terminal.clear()?,
        Some(key) => top.press(key),
        None => {}
    }
    Ok(())
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    Some(match event.code {
        KeyCode::Char(letter) if event.modifiers.contains(KeyModifiers::CONTROL) => Key::Ctrl(letter),
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::F(number) => Key::F(number),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}
