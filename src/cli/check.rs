//! `weft check`: whether a fabric's document is good.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, Fabric};

/// Says all that is wrong with a fabric's document, each with its line and column.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The document.
    #[arg(value_name = "FABRIC")]
    pub fabric: PathBuf,
}

/// Prints the findings on standard error, or what the document holds on standard output.
///
/// Exits with 0 if the document is good, perhaps with warnings, and with 2 if it is not.
pub fn run(args: Args) -> ExitCode {
    match config::load(&args.fabric) {
        Ok(fabric) => {
            super::say(&fabric.warnings);
            match super::print(&format!("{}: ok: {}\n", args.fabric.display(), summary(&fabric))) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(found) => {
            super::say(found);
            ExitCode::from(2)
        }
    }
}

/// How much there is in the fabric, as "2 hosts, 1 tenant, 1 segment, 2 endpoints, 3 rules".
fn summary(fabric: &Fabric) -> String {
    let sum = |count: fn(&config::checked::Tenant) -> usize| fabric.tenants.iter().map(count).sum();
    let counts = [
        (fabric.hosts.len(), "host"),
        (fabric.tenants.len(), "tenant"),
        (sum(|tenant| tenant.segments.len()), "segment"),
        (sum(|tenant| tenant.endpoints.len()), "endpoint"),
        (sum(|tenant| tenant.policy.rules.len()), "rule"),
    ];
    let parts = counts.map(|(n, what)| format!("{n} {what}{}", if n == 1 { "" } else { "s" }));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up() {
        let fabric = config::parse("design.yaml", include_str!("../../tests/config/design.yaml")).unwrap();
        assert_eq!(summary(&fabric), "2 hosts, 1 tenant, 1 segment, 2 endpoints, 3 rules");
    }

    #[test]
    fn the_exit_status_tells() {
        let status = |path: &str| {
            let fabric = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
            format!("{:?}", run(Args { fabric }))
        };
        assert_eq!(status("examples/lab.yaml"), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(status("examples/none.yaml"), format!("{:?}", ExitCode::from(2)));
    }
}
