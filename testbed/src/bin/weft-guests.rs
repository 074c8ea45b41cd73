//! Many guests in one process, each an IP stack behind a vhost-user socket of a switch.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use testbed::guest::smol::{Control, read_spec, serve};

/// Guests for Weft: IP stacks behind vhost-user sockets, told what to do by a line of JSON each
#[derive(Debug, Parser)]
#[command(name = "weft-guests", version)]
struct Arguments {
    /// The guests, in YAML or JSON: {guests: [{name, socket, mac, addresses: [ADDRESS/PREFIX], gateways, mtu}]}
    spec: PathBuf,
    /// Take commands at this unix socket in place of standard input
    #[arg(long)]
    control: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let control = arguments.control.map_or(Control::Standard, Control::Socket);
    match read_spec(&arguments.spec).and_then(|spec| serve(&spec, &control)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-guests: {error}");
            ExitCode::FAILURE
        }
    }
}
