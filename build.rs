//! Stamps the version, and compiles the API's description, without protoc.

use std::error::Error;
use std::process::Command;

const PROTO_ROOT: &str = "src/control/api/proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rustc-env=WEFT_VERSION={}", version());
    println!("cargo::rerun-if-changed={PROTO_ROOT}");
    let files = protox::compile(["weft/v1/switch.proto"], [PROTO_ROOT])?;
    tonic_prost_build::configure().btree_map(".").compile_fds(files)?;
    Ok(())
}

/// The package's version and, where git knows it, the commit: `0.1.0 (1a2b3c4d)`.
fn version() -> String {
    let package = env!("CARGO_PKG_VERSION");
    for file in [".git/HEAD", ".git/refs/heads"] {
        if std::path::Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    let git = Command::new("git").args(["rev-parse", "--short=8", "HEAD"]).output();
    match git {
        Ok(output) if output.status.success() => {
            format!("{package} ({})", String::from_utf8_lossy(&output.stdout).trim())
        }
        _ => package.to_owned(),
    }
}
