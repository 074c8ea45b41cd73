//! TCP transfers by this program itself, for use in namespaces: `testbed tcp-send`, `testbed tcp-recv`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Doing;
use crate::{Result, wait_for};

/// What one end of a transfer saw; printed as one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Bytes sent or received.
    pub bytes: u64,
    /// Their SHA-256, in hex.
    pub sha256: String,
    /// From the first byte to the last, in seconds.
    pub seconds: f64,
}

/// Connects, trying again while there is nobody, and sends `bytes` pseudo-random bytes that follow from `seed`.
pub fn send(to: SocketAddr, bytes: u64, seed: u64, deadline: Duration) -> Result<Report> {
    let mut stream = wait_for(deadline, format!("{to} to accept a connection"), || {
        Ok(TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok())
    })?;
    let what = || format!("sending to {to}");
    stream.set_write_timeout(Some(deadline)).doing(what)?;
    let (begun, mut hash, mut noise) = (Instant::now(), Sha256::new(), Noise::new(seed));
    let (mut left, mut block) = (bytes, vec![0; BLOCK]);
    while left > 0 {
        let length = left.min(BLOCK as u64) as usize;
        noise.fill(&mut block[..length]);
        hash.update(&block[..length]);
        stream.write_all(&block[..length]).doing(what)?;
        left -= length as u64;
    }
    stream.shutdown(std::net::Shutdown::Write).doing(what)?;
    // The peer closes when it has all: only then is it known to have arrived.
    stream.set_read_timeout(Some(deadline)).doing(what)?;
    stream.read(&mut [0; 1]).doing(|| format!("waiting for {to} to take all"))?;
    Ok(report(bytes, hash, begun))
}

/// Accepts one connection and takes all that comes. `listening` is called once a sender would be accepted.
pub fn receive(at: SocketAddr, deadline: Duration, listening: impl FnOnce(SocketAddr)) -> Result<Report> {
    let what = || format!("receiving at {at}");
    let listener = TcpListener::bind(at).doing(what)?;
    listener.set_nonblocking(true).doing(what)?;
    listening(listener.local_addr().doing(what)?);
    let mut stream = wait_for(deadline, format!("a connection to {at}"), || match listener.accept() {
        Ok((stream, _)) => Ok(Some(stream)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).doing(what),
    })?;
    stream.set_nonblocking(false).doing(what)?;
    stream.set_read_timeout(Some(deadline)).doing(what)?;
    let (begun, mut hash, mut bytes, mut block) = (Instant::now(), Sha256::new(), 0, vec![0; BLOCK]);
    loop {
        match stream.read(&mut block).doing(what)? {
            0 => return Ok(report(bytes, hash, begun)),
            length => {
                hash.update(&block[..length]);
                bytes += length as u64;
            }
        }
    }
}

fn report(bytes: u64, hash: Sha256, begun: Instant) -> Report {
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Report { bytes, sha256, seconds: begun.elapsed().as_secs_f64() }
}

/// Bytes without a pattern that a shifted or repeated segment could hide in: SplitMix64 (Steele, Lea, Flood 2014).
pub struct Noise(u64);

impl Noise {
    /// What follows from this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next bytes.
    pub fn fill(&mut self, block: &mut [u8]) {
        for chunk in block.chunks_mut(8) {
            chunk.copy_from_slice(&self.word().to_le_bytes()[..chunk.len()]);
        }
    }

    /// The next eight bytes.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

const BLOCK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::{receive, send};

    #[test]
    fn both_ends_see_the_same() {
        let (tell, told) = mpsc::channel();
        let soon = Duration::from_secs(10);
        let receiver = thread::spawn(move || {
            receive(([127, 0, 0, 1], 0).into(), soon, |address| tell.send(address).unwrap()).unwrap()
        });
        let sent = send(told.recv().unwrap(), 1_000_003, 7, soon).unwrap();
        let received = receiver.join().unwrap();
        assert_eq!((received.bytes, received.sha256), (1_000_003, sent.sha256));
    }
}
