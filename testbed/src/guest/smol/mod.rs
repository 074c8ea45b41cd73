//! Guests that are an IP stack each (smoltcp's) behind a vhost-user socket, many in one process, without root.
//!
//! The process is `weft-guests`; [`SmolGuests`] starts it and talks with it. What it is told and answers is in
//! [`protocol`]. A guest whose switch goes away waits for it to come back.

pub mod frames;
mod handle;
mod member;
mod nic;
mod ping;
pub mod protocol;
mod serve;
mod stack;
mod tcp;
mod udp;
mod watch;

use std::fmt::Write;

use smoltcp::wire::EthernetAddress;

pub use handle::{Pending, SmolGuests};
pub use protocol::{SmolGuest, SmolSpec};
pub use serve::{Control, read_spec, serve};

use crate::{Error, Result};

/// Bytes in hex, without anything between them.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that `text` gives in hex; blanks between them are passed over.
pub fn bytes_of_hex(text: &str) -> Result<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|char| !char.is_whitespace())
        .map(|char| char.to_digit(16).map(|digit| digit as u8))
        .collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => {
            Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        _ => Err(Error::failed(format!("`{text}` is no hex"), "")),
    }
}

fn mac(text: &str) -> Result<EthernetAddress> {
    text.parse().map_err(|()| Error::failed(format!("`{text}` is no MAC address"), ""))
}

#[cfg(test)]
mod tests {
    use super::{bytes_of_hex, hex};

    #[test]
    fn hex_there_and_back() {
        assert_eq!(bytes_of_hex("02 00\nabCD").unwrap(), [2, 0, 0xab, 0xcd]);
        assert_eq!(hex(&[2, 0xab]), "02ab");
        assert!(bytes_of_hex("abc").is_err());
        assert!(bytes_of_hex("zz").is_err());
    }
}
