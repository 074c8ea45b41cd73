//! The fuzzers' committed seeds, played as a test.

use std::fs;
use std::path::{Path, PathBuf};

use weft_pipelines::testing::entry::{WAYS, seeds};

fn directory(way: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(way)
}

#[test]
fn every_seed_balances() {
    for (name, way) in WAYS {
        let files: Vec<_> = fs::read_dir(directory(name)).unwrap().collect();
        assert!(!files.is_empty(), "{name}");
        for file in files {
            way(&fs::read(file.unwrap().path()).unwrap());
        }
    }
}
