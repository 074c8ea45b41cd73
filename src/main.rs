//! The `weft` command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use weft::cli;

/// A userspace virtual switch for hypervisor hosts.
#[derive(Debug, Parser)]
#[command(name = "weft", version = weft::VERSION, arg_required_else_help = true)]
struct Weft {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Apply(cli::apply::Args),
    Capture(cli::capture::Args),
    Check(cli::check::Args),
    Doctor(cli::doctor::Args),
    Explain(cli::explain::Args),
    Export(cli::export::Args),
    Flows(cli::flows::Args),
    Plan(cli::plan::Args),
    Replay(cli::replay::Args),
    #[cfg(feature = "dpdk")]
    Run(cli::run::Args),
    Schema(cli::schema::Args),
    Show(cli::show::Args),
    Suggest(cli::suggest::Args),
    Test(cli::test::Args),
    Top(cli::top::Args),
    Trace(cli::trace::Args),
}

fn main() -> ExitCode {
    match Weft::parse().command {
        Command::Apply(args) => cli::apply::run(args),
        Command::Capture(args) => cli::capture::run(args),
        Command::Check(args) => cli::check::run(args),
        Command::Doctor(args) => cli::doctor::run(args),
        Command::Explain(args) => cli::explain::run(args),
        Command::Export(args) => cli::export::run(args),
        Command::Flows(args) => cli::flows::run(args),
        Command::Plan(args) => cli::plan::run(args),
        Command::Replay(args) => cli::replay::run(args),
        #[cfg(feature = "dpdk")]
        Command::Run(args) => cli::run::run(args),
        Command::Schema(args) => cli::schema::run(args),
        Command::Show(args) => cli::show::run(args),
        Command::Suggest(args) => cli::suggest::run(args),
        Command::Test(args) => cli::test::run(args),
        Command::Top(args) => cli::top::run(args),
        Command::Trace(args) => cli::trace::run(args),
    }
}
