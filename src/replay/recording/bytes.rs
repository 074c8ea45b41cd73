//! A reader that knows where it is, and reads numbers of either byte order.

use std::io::{self, Read};

use super::Fault;

/// The order of a number's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

impl Order {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        }
    }

    pub(super) fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Self::Big => i64::from_be_bytes(bytes),
            Self::Little => i64::from_le_bytes(bytes),
        }
    }
}

#[derive(Debug)]
pub(super) struct Bytes<R> {
    reader: R,
    offset: u64,
    mark: u64,
}

impl<R: Read> Bytes<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, offset: 0, mark: 0 }
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Remembers this place: a record starts here.
    pub(super) fn mark(&mut self) {
        self.mark = self.offset;
    }

    /// The place that was remembered.
    pub(super) fn marked(&self) -> u64 {
        self.mark
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.array_or_end()?.ok_or(Fault::CutOff)
    }

    /// The next `N` bytes; `None` at the end.
    pub(super) fn array_or_end<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Fault> {
        let (mut array, mut filled) = ([0; N], 0);
        while filled < N {
            match self.reader.read(&mut array[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(Fault::CutOff),
                Ok(read) => {
                    filled += read;
                    self.offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Read(error)),
            }
        }
        Ok(Some(array))
    }

    /// The next `len` bytes. Memory is taken for what is there, not for what a damaged file says is there.
    pub(super) fn vec(&mut self, len: usize) -> Result<Vec<u8>, Fault> {
        let mut vec = Vec::new();
        let read = self.reader.by_ref().take(len as u64).read_to_end(&mut vec);
        self.offset += vec.len() as u64;
        match read {
            Ok(read) if read == len => Ok(vec),
            Ok(_) => Err(Fault::CutOff),
            Err(error) => Err(Fault::Read(error)),
        }
    }
}
