//! A setting of the kernel's that is another one for as long as the lab is there.

use std::fs;
use std::path::PathBuf;

use super::ledger::{Held, Resource};
use crate::Result;
use crate::error::Doing;

/// A changed setting; it is put back when dropped, and when the lab is interrupted. After a `SIGKILL` it stays.
#[derive(Debug)]
pub struct Setting {
    _held: Held,
}

impl Setting {
    /// Writes `value` to a file below `/proc/sys` or `/sys`.
    pub fn change(path: impl Into<PathBuf>, value: &str) -> Result<Self> {
        let path = path.into();
        let make = || {
            let what = || format!("changing {}", path.display());
            let before = fs::read_to_string(&path).doing(what)?;
            fs::write(&path, value).doing(what)?;
            Ok(((), Resource::Setting(path.clone(), before)))
        };
        let ((), held) = Held::acquire(make)?;
        Ok(Self { _held: held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("setting");
        fs::write(&path, "3\n").unwrap();
        let changed = Setting::change(&path, "512").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "512");
        drop(changed);
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
    }
}
