//! A connection that carries bytes from its one end to the other until it is told to end.

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use testbed::tcp::Noise;
use testbed::{Error, Result, wait_for};

use super::traffic::on;
use crate::SOON;

/// Such a connection. When dropped before its end, it is cut.
#[derive(Debug)]
pub struct Stream {
    ends: [TcpStream; 2],
    received: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
    work: Option<[JoinHandle<Result<u64>>; 2]>,
}

impl Stream {
    /// Begins to send what follows from `seed`.
    pub fn start(from: TcpStream, to: TcpStream, seed: u64) -> Result<Self> {
        let (received, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let ends = [on("a stream", from.try_clone())?, on("a stream", to.try_clone())?];
        let (count, ended) = (Arc::clone(&received), Arc::clone(&enough));
        let sender = thread::spawn(move || send(&from, seed, &ended));
        let receiver = thread::spawn(move || receive(to, seed, &count));
        Ok(Self { ends, received, enough, work: Some([sender, receiver]) })
    }

    /// Waits until more has come than had when this was called.
    pub fn wait_for_more(&self) -> Result<()> {
        let before = self.received.load(Ordering::Relaxed);
        wait_for(SOON, "a connection to go on", || {
            Ok((self.received.load(Ordering::Relaxed) > before).then_some(()))
        })
    }

    /// Ends it, and says how many bytes were sent, all of which came.
    pub fn finish(mut self) -> Result<u64> {
        self.enough.store(true, Ordering::Relaxed);
        let ended = self.work.take().map(|work| work.map(|thread| thread.join().expect("no panic")));
        match ended {
            Some([Ok(sent), Ok(received)]) if sent == received => Ok(sent),
            Some([Err(error), _] | [_, Err(error)]) => Err(error),
            other => Err(Error::failed("not all that was sent has come", format!("{other:?}"))),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        self.ends.iter().for_each(|end| drop(end.shutdown(Shutdown::Both)));
    }
}

fn send(mut to: &TcpStream, seed: u64, enough: &AtomicBool) -> Result<u64> {
    let (mut noise, mut block, mut sent) = (Noise::new(seed), [0; BLOCK], 0);
    while !enough.load(Ordering::Relaxed) {
        noise.fill(&mut block);
        on("sending", std::io::Write::write_all(&mut to, &block))?;
        sent += BLOCK as u64;
    }
    on("ending", to.shutdown(Shutdown::Write))?;
    Ok(sent)
}

fn receive(mut from: TcpStream, seed: u64, count: &AtomicU64) -> Result<u64> {
    let (mut noise, mut wanted, mut came) = (Noise::new(seed), [0; BLOCK], [0; BLOCK]);
    let mut received = 0;
    loop {
        let at = received as usize % BLOCK;
        if at == 0 {
            noise.fill(&mut wanted);
        }
        let length = on("receiving", from.read(&mut came[at..]))?;
        if length == 0 {
            return Ok(received);
        }
        if came[at..at + length] != wanted[at..at + length] {
            return Err(Error::failed(format!("other bytes than were sent, after {received}"), ""));
        }
        received += length as u64;
        count.store(received, Ordering::Relaxed);
    }
}

const BLOCK: usize = 16 * 1024;
