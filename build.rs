//! Compiles the API's description, without protoc.

use std::error::Error;

const PROTO_ROOT: &str = "src/control/api/proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO_ROOT}");
    let files = protox::compile(["weft/v1/switch.proto"], [PROTO_ROOT])?;
    tonic_prost_build::configure().btree_map(".").compile_fds(files)?;
    Ok(())
}
