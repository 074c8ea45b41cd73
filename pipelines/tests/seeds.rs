//! The fuzzers' committed seeds, played as a test.

use std::fs;
use std::path::{Path, PathBuf};

use weft_pipelines::testing::entry::{WAYS, seeds};

fn directory(way: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(way)
}

/// With `WEFT_BLESS` set it writes the seeds anew first, into the source tree.
#[test]
fn every_seed_balances() {
    for (name, way) in WAYS {
        if std::env::var_os("WEFT_BLESS").is_some() {
            fs::create_dir_all(directory(name)).unwrap();
            for (n, seed) in seeds(name).iter().enumerate() {
                fs::write(directory(name).join(format!("{n:02}")), seed).unwrap();
            }
        }
        let files: Vec<_> = fs::read_dir(directory(name)).unwrap().collect();
        assert!(!files.is_empty(), "{name}");
        for file in files {
            way(&fs::read(file.unwrap().path()).unwrap());
        }
    }
}
