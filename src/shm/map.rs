//! The one place where the file becomes memory.
//!
//! What is mapped is seen as words that other processes may change at any moment, so all access is atomic. Should
//! somebody cut the file short while it is mapped, a load beyond its end ends the process with `SIGBUS`. Weft never
//! does: a file that no longer fits makes way for another one.

use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicU64;
use std::fs::File;
use std::io;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::word::Seen;

/// The bytes of a word.
pub const WORD: usize = size_of::<u64>();

/// A file as memory that can be written.
#[derive(Debug)]
pub struct Shared(Mapping);

impl Shared {
    /// The first `len` bytes of `file`.
    ///
    /// # Errors
    ///
    /// When the system refuses, and when the file is shorter.
    pub fn map(file: &File, len: usize) -> io::Result<Self> {
        Ok(Self(Mapping::new(file, len, ProtFlags::READ | ProtFlags::WRITE)?))
    }

    /// Its words; bytes beyond the last whole one are left out.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has so many words, is aligned to a page, readable and writable, and lives as long as
        // `self`. All who look at it do so by atomic words.
        unsafe { core::slice::from_raw_parts(self.0.at.as_ptr().cast(), self.0.len / WORD) }
    }
}

/// A file as memory that can only be read.
#[derive(Debug)]
pub struct View(Mapping);

impl View {
    /// The first `len` bytes of `file`.
    ///
    /// # Errors
    ///
    /// When the system refuses, and when the file is shorter.
    pub fn map(file: &File, len: usize) -> io::Result<Self> {
        Ok(Self(Mapping::new(file, len, ProtFlags::READ)?))
    }

    /// Its words; bytes beyond the last whole one are left out.
    #[inline]
    pub fn words(&self) -> &[Seen] {
        // SAFETY: the mapping has so many words, is aligned to a page, readable, and lives as long as `self`. `Seen` is
        // laid out as an atomic word and only ever loaded, relaxed, which is sound where nothing may be written.
        unsafe { core::slice::from_raw_parts(self.0.at.as_ptr().cast(), self.0.len / WORD) }
    }
}

#[derive(Debug)]
struct Mapping {
    at: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(file: &File, len: usize, access: ProtFlags) -> io::Result<Self> {
        if len == 0 || file.metadata()?.len() < len as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: no address is asked for, so nothing that is mapped already is replaced.
        let at = unsafe { mmap(ptr::null_mut(), len, access, MapFlags::SHARED, file, 0) }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { at, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is what `mmap` gave, mapped since, and no reference into it outlives `self`.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

// SAFETY: memory belongs to the process, not to a thread; it is only reached as atomic words.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}
