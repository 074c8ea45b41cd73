//! `weft suggest`: rules for the flows that were seen.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::plan::ask;
use super::show::Target;
use crate::config::{self, Fabric};
use crate::report::SessionFilter;
use crate::suggest::{Flow, read, suggest};

/// Suggests rules that allow the flows that were seen, and little else, as YAML for the tenants' policies.
///
/// Each end is named by the smallest group that it is in; what is in no group is listed as a comment. What rules allow
/// already, or deny, is not suggested. Run a tenant without a policy, or with `mode: audit`, and see what it does.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The fabric's document.
    #[arg(value_name = "FABRIC")]
    pub fabric: PathBuf,
    /// The flows: a file of what `weft show sessions --json` prints, or of a session in JSON on each line; `-` is
    /// standard input. Without FILE the sessions of the running switch.
    #[arg(long, value_name = "FILE", num_args = 0..=1, required = true)]
    pub from_flows: Option<Option<PathBuf>>,
    /// The running switch.
    #[command(flatten)]
    pub at: Target,
}

/// Prints the rules.
///
/// Exits with 2 when the document or the flows are wrong, and with 1 when the switch is not reached.
pub fn run(args: Args) -> ExitCode {
    let fabric = match config::load(&args.fabric) {
        Ok(fabric) => fabric,
        Err(found) => {
            super::say(found);
            return ExitCode::from(2);
        }
    };
    super::say(&fabric.warnings);
    let flows = match args.from_flows.flatten() {
        Some(path) => flows_at(&path).map_err(|error| (2, error)),
        None => flows_of(&args.at).map_err(|error| (1, error.to_string())),
    };
    let printed = flows.and_then(|flows| {
        super::print(&text(&fabric, &flows)).map_err(|error| (1, format!("standard output: {error}")))
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, error)) => {
            super::say(format_args!("weft: {error}\n"));
            ExitCode::from(status)
        }
    }
}

fn flows_at(path: &Path) -> Result<Vec<Flow>, String> {
    let (name, text) = if path == Path::new("-") {
        let mut text = String::new();
        ("standard input".to_owned(), io::stdin().read_to_string(&mut text).map(|_| text))
    } else {
        (path.display().to_string(), fs::read_to_string(path))
    };
    let text = text.map_err(|error| format!("{name}: cannot be read: {error}"))?;
    read(&text).map_err(|error| format!("{name}: {error}"))
}

/// The sessions of the running switch.
fn flows_of(target: &Target) -> Result<Vec<Flow>, Box<dyn std::error::Error>> {
    let sessions = ask(target, async |client| client.sessions(&SessionFilter::default()).await)?;
    Ok(sessions.sessions.iter().map(Flow::try_from).collect::<Result<_, _>>()?)
}

fn text(fabric: &Fabric, flows: &[Flow]) -> String {
    let (suggestions, strangers) = suggest(fabric, flows);
    let mut parts: Vec<String> = suggestions.iter().map(|suggestion| suggestion.fragment()).collect();
    let unknown = strangers.iter().map(|tenant| match tenant.is_empty() {
        true => "# flows of no tenant are left out\n".to_owned(),
        false => format!("# the document has no tenant {tenant}: its flows are left out\n"),
    });
    parts.extend(unknown);
    if parts.is_empty() {
        parts.push("# no flows were seen\n".to_owned());
    }
    parts.join("\n")
}
