//! `weft plan`: what a document would change on a running switch.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::show::Target;
use crate::config;
use crate::control::api::{Client, ClientError};
use crate::report::{Change, ChangeKind, Detail, Plan, SessionChanges};

/// Shows what a document would change on a running switch, and what would become of its sessions.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The document.
    #[arg(value_name = "FABRIC")]
    pub fabric: PathBuf,
    #[command(flatten)]
    at: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks the switch and prints its answer.
///
/// Exits with 2 when the document is wrong, and with 1 when the switch would refuse it, or is not reached.
pub fn run(args: Args) -> ExitCode {
    with_document(&args.fabric, |text| {
        let plan = ask(&args.at, async |client| client.plan(text).await)?;
        let refused = !plan.restart.is_empty();
        let shown = if args.json { super::json(&plan)? } else { render(&plan) };
        super::print(&shown)?;
        Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

/// Does something with the document at `path`, if it is good. All that is wrong with it is told before anything is sent.
pub(super) fn with_document(
    path: &Path,
    work: impl FnOnce(String) -> Result<ExitCode, Box<dyn std::error::Error>>,
) -> ExitCode {
    let (text, fabric) = match config::load_with_text(path) {
        Ok(read) => read,
        Err(found) => {
            super::say(found);
            return ExitCode::from(2);
        }
    };
    super::say(&fabric.warnings);
    work(text).unwrap_or_else(|error| {
        super::say(format_args!("weft: {error}\n"));
        let wrong = matches!(error.downcast_ref(), Some(ClientError::Wrong { .. }));
        ExitCode::from(if wrong { 2 } else { 1 })
    })
}

/// Asks the switch at `target`.
pub(super) fn ask<T>(
    target: &Target,
    question: impl AsyncFnOnce(&mut Client) -> Result<T, ClientError>,
) -> Result<T, Box<dyn std::error::Error>> {
    let socket = target.api_socket()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async { question(&mut Client::connect(&socket).await?).await })?)
}

fn render(plan: &Plan) -> String {
    let Plan { host, epoch, changes: list, restart, sessions } = plan;
    let mut text = match list.len() {
        0 => format!("{host}: nothing differs from the document in force (epoch {epoch})\n"),
        count => format!(
            "{host}: {count} change{} to the document in force (epoch {epoch}):\n\n{}",
            plural(count as u64),
            changes(list)
        ),
    };
    if !restart.is_empty() {
        text += "\nIt would be refused, for the switch has to be started anew for:\n";
        restart.iter().for_each(|detail| line(&mut text, "  ", detail));
    }
    if sessions.examined > 0 {
        text += &format!("\n{}", of_sessions(sessions));
    }
    text
}

/// A line for each change, and one for each of its details if there are several.
pub(super) fn changes(changes: &[Change]) -> String {
    let mut text = String::new();
    for Change { kind, what, name, details } in changes {
        let sign = match kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        // Writing to a string never fails.
        let _ = write!(text, "  {sign} {what} {name}");
        match (details.as_slice(), kind) {
            ([], _) => text.push('\n'),
            ([only], ChangeKind::Changed) => {
                text.push_str(if only.key.is_empty() { ":" } else { ": " });
                line(&mut text, "", only);
            }
            (details, ChangeKind::Changed) => {
                text.push('\n');
                details.iter().for_each(|detail| line(&mut text, "      ", detail));
            }
            (details, _) => {
                let values = details.iter().map(|Detail { key, old, new }| {
                    let value = new.as_ref().or(old.as_ref()).map_or("", String::as_str);
                    if key.is_empty() { value.to_owned() } else { format!("{key} {value}") }
                });
                let _ = writeln!(text, ": {}", values.collect::<Vec<_>>().join(", "));
            }
        }
    }
    text
}

fn line(text: &mut String, indent: &str, Detail { key, old, new }: &Detail) {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let _ = writeln!(text, "{indent}{key} {} => {}", value(old), value(new));
}

fn of_sessions(sessions: &SessionChanges) -> String {
    let SessionChanges { examined, denied, other_rule, ended, examples } = sessions;
    let counts: Vec<String> =
        [(denied, "would be denied"), (ended, "would end"), (other_rule, "would be allowed by another rule")]
            .into_iter()
            .filter(|(count, _)| **count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
    if counts.is_empty() {
        return format!("Of {examined} session{} none would be denied.\n", plural(*examined));
    }
    let mut text = format!("Of {examined} session{} {}:\n", plural(*examined), counts.join(", "));
    for session in examples {
        let _ = writeln!(
            text,
            "  {} {} {} -> {} ({}): {}, then {}",
            session.tenant,
            session.protocol,
            session.from,
            session.to,
            session.state,
            session.old,
            session.new
        );
    }
    let more = (denied + ended + other_rule).saturating_sub(examples.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}

pub(super) fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn a_plan() {
        insta::assert_snapshot!(render(&samples::plan()));
    }

    #[test]
    fn nothing_to_do_is_said() {
        let nothing = Plan { host: "hv-a".into(), epoch: 2, ..Plan::default() };
        assert_eq!(render(&nothing), "hv-a: nothing differs from the document in force (epoch 2)\n");
        let sessions = SessionChanges { examined: 1, ..SessionChanges::default() };
        let text = render(&Plan { sessions, ..nothing });
        assert!(text.ends_with("\n\nOf 1 session none would be denied.\n"), "{text}");
    }
}
