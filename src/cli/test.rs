//! `weft test`: whether policies decide as they are expected to.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use super::plan::plural;
use crate::cases::{self, Case, Failure};
use crate::config;
use crate::control::compile::policies;

/// Holds the policies of a fabric's document against cases: who reaches whom, and who does not.
///
/// No packet is sent: the tenant's compiled policy is asked. A case is a mapping in a YAML list:
///
///   - { name: web reaches db, from: blue/web1, to: blue/db1, service: tcp/5432, expect: allow }
///   - { from: blue:web, to: blue:db, service: [tcp/22, udp/53], expect: deny, rule: no-ssh }
///   - { from: 10.9.0.7, to: blue/web1, service: tcp/443, expect: allow, audit: deny }
///
/// tenant/endpoint is an endpoint, tenant:group a group: then each pair of members has to agree. `rule` is the rule that
/// has to decide (or `default`), `audit` what would be decided if rules under audit were enforced.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The fabric's document.
    #[arg(value_name = "FABRIC")]
    pub fabric: PathBuf,
    /// The cases.
    #[arg(value_name = "CASES")]
    pub cases: PathBuf,
}

/// Asks all cases, and prints those that do not hold.
///
/// Exits with 0 when all hold, with 1 when one does not, and with 2 when the document or the cases are wrong.
pub fn run(args: Args) -> ExitCode {
    let read = config::load(&args.fabric).and_then(|fabric| Ok((cases::load(&args.cases, &fabric)?, fabric)));
    let (cases, fabric) = match read {
        Ok(read) => read,
        Err(found) => {
            super::say(found);
            return ExitCode::from(2);
        }
    };
    super::say(&fabric.warnings);
    let policies = policies(&fabric);
    let failed: Vec<(&Case, Box<Failure>)> =
        cases.iter().filter_map(|case| Some((case, case.hold(&fabric, &policies).err()?))).collect();
    let mut text = String::new();
    for (Case { at, name, .. }, Failure { asked, wrong, first }) in
        failed.iter().map(|(case, failure)| (case, &**failure))
    {
        let place = args.cases.display();
        let name = name.as_ref().map_or_else(String::new, |name| format!("{name}: "));
        let _ = write!(text, "{place}:{at}: {name}{first}");
        let _ = match (wrong, asked) {
            (1, 1) => writeln!(text),
            _ => writeln!(text, " ({wrong} of {asked} questions)"),
        };
    }
    let count = cases.len();
    let _ = match failed.len() {
        0 => writeln!(text, "{count} case{} hold{}", plural(count as u64), if count == 1 { "s" } else { "" }),
        1 => writeln!(text, "1 of {count} case{} does not hold", plural(count as u64)),
        failed => writeln!(text, "{failed} of {count} cases do not hold"),
    };
    if let Err(error) = super::print(&text) {
        super::say(format_args!("weft: standard output: {error}\n"));
        return ExitCode::FAILURE;
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
