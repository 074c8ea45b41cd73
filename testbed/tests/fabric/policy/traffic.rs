//! What guests in namespaces send each other: sockets made inside, used from here.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use std::{fs, io, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with, sockopt};
use testbed::tcp::Noise;
use testbed::{Error, Lab, Result, wait_for};

use crate::SOON;

/// Calls the system, and says what was being done when it refuses.
pub fn on<T>(what: impl Into<String>, result: Result<T, impl Into<io::Error>>) -> Result<T> {
    result.map_err(|source| Error::Io { what: what.into(), source: source.into() })
}

/// A listener of a guest; not to be waited on by `accept` itself, but by [`accept`].
pub fn listener(lab: &Lab, guest: &str, at: SocketAddr) -> Result<TcpListener> {
    listener_with(lab, guest, at, None)
}

/// The same, with so many bytes of receive buffer for each connection.
pub fn listener_with(lab: &Lab, guest: &str, at: SocketAddr, buffer: Option<usize>) -> Result<TcpListener> {
    let what = || format!("{guest}: listening at {at}");
    lab.namespace(guest).inside(|| {
        let socket = stream_socket(at)?;
        on(what(), sockopt::set_socket_reuseaddr(&socket, true))?;
        if let Some(bytes) = buffer {
            on(what(), sockopt::set_socket_recv_buffer_size(&socket, bytes))?;
        }
        on(what(), bind(&socket, &at))?;
        on(what(), listen(&socket, 1024))?;
        Ok(socket.into())
    })
}

/// The next connection to a listener.
pub fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let what = format!("a connection to {:?}", listener.local_addr());
    let stream = wait_for(SOON, what.clone(), || match listener.accept() {
        Ok((stream, _)) => Ok(Some(stream)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => on(what.clone(), Err(error)),
    })?;
    patient(stream)
}

/// Nobody has come: what was refused has not reached the listener.
pub fn is_alone(listener: &TcpListener) -> bool {
    listener.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// A connection from a guest to `to`.
pub fn connection(lab: &Lab, guest: &str, to: SocketAddr) -> Result<TcpStream> {
    let stream = lab
        .namespace(guest)
        .inside(|| on(format!("{guest}: connecting to {to}"), TcpStream::connect_timeout(&to, SOON)))?;
    patient(stream)
}

/// Both ends of a connection from a guest to a listener.
pub fn pair(lab: &Lab, guest: &str, to: SocketAddr, listener: &TcpListener) -> Result<[TcpStream; 2]> {
    let client = connection(lab, guest, to)?;
    Ok([client, accept(listener)?])
}

/// A connection from a guest's own port, tried again while that port still has the connection before.
pub fn connection_from(lab: &Lab, guest: &str, from: SocketAddr, to: SocketAddr) -> Result<TcpStream> {
    let what = format!("{guest}: connecting from {from} to {to}");
    let begun = wait_for(SOON, what.clone(), || {
        lab.namespace(guest).inside(|| {
            let socket = stream_socket(from)?;
            on(what.clone(), sockopt::set_socket_reuseaddr(&socket, true))?;
            on(what.clone(), bind(&socket, &from))?;
            match connect(&socket, &to) {
                Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(Some(socket)),
                Err(rustix::io::Errno::ADDRNOTAVAIL) => Ok(None),
                Err(error) => on(what.clone(), Err(error)),
            }
        })
    })?;
    if !is_ready(&begun, SOON)? {
        return Err(Error::failed(what, "no answer"));
    }
    on(what.clone(), sockopt::socket_error(&begun).and_then(|error| error))?;
    patient(begun.into())
}

/// An attempt to connect that is not expected to come to anything.
#[derive(Debug)]
pub struct Attempt {
    what: String,
    socket: OwnedFd,
}

impl Attempt {
    /// Sends a SYN, which goes on being sent.
    pub fn begin(lab: &Lab, guest: &str, to: SocketAddr) -> Result<Self> {
        let what = format!("{guest}: connecting to {to}, in vain");
        let socket = lab.namespace(guest).inside(|| {
            let socket = stream_socket(to)?;
            match connect(&socket, &to) {
                Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
                other => {
                    on(what.clone(), other)?;
                    Err(Error::failed(what.clone(), "connected at once"))
                }
            }
        })?;
        Ok(Self { what, socket })
    }

    /// Neither answered nor refused up to now.
    pub fn assert_unanswered(&self) -> Result<()> {
        assert!(!is_ready(&self.socket, Duration::ZERO)?, "{}: answered", self.what);
        Ok(())
    }
}

/// A socket for datagrams, bound to an address of the guest. Port 0 is any that is free.
pub fn datagrams(lab: &Lab, guest: &str, at: SocketAddr) -> Result<UdpSocket> {
    let what = || format!("{guest}: UDP at {at}");
    let socket = lab.namespace(guest).inside(|| on(what(), UdpSocket::bind(at)))?;
    on(what(), socket.set_read_timeout(Some(SOON)))?;
    Ok(socket)
}

/// Both ends send `bytes` at once, each its own, and close; each has to be given what the other sent.
pub fn exchange(ends: &[TcpStream; 2], bytes: u64, seed: u64) -> Result<()> {
    thread::scope(|scope| {
        let [one, other] = ends;
        let (there, back) = (seed * 2, seed * 2 + 1);
        let work = [
            scope.spawn(move || send(one, bytes, there)),
            scope.spawn(move || receive(other, bytes, there)),
            scope.spawn(move || send(other, bytes, back)),
            scope.spawn(move || receive(one, bytes, back)),
        ];
        work.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Sends what follows from the seed, and no more after that.
pub fn send(stream: &TcpStream, bytes: u64, seed: u64) -> Result<()> {
    write(stream, bytes, seed)?;
    on("closing one direction", stream.shutdown(Shutdown::Write))
}

/// Sends what follows from the seed.
pub fn write(mut stream: &TcpStream, bytes: u64, seed: u64) -> Result<()> {
    each_block(bytes, seed, |block| {
        on(format!("sending to {:?}", stream.peer_addr()), stream.write_all(block))
    })
}

/// Takes what follows from the seed, and nothing after that.
pub fn receive(stream: &TcpStream, bytes: u64, seed: u64) -> Result<()> {
    read(stream, bytes, seed)?;
    let (mut stream, what) = (stream, format!("the end of what comes from {:?}", stream.peer_addr()));
    match on(what.clone(), stream.read(&mut [0]))? {
        0 => Ok(()),
        _ => Err(Error::failed(what, "more came")),
    }
}

/// Takes what follows from the seed.
pub fn read(mut stream: &TcpStream, bytes: u64, seed: u64) -> Result<()> {
    let what = || format!("receiving from {:?}", stream.peer_addr());
    let mut came = vec![0; BLOCK];
    let mut at = 0;
    each_block(bytes, seed, |block| {
        let came = &mut came[..block.len()];
        on(what(), stream.read_exact(came))?;
        if came != block {
            return Err(Error::failed(what(), format!("other bytes than were sent, from {at} on")));
        }
        at += block.len();
        Ok(())
    })
}

/// What follows from the seed.
pub fn fill(bytes: &mut [u8], seed: u64) {
    let mut noise = Noise::new(seed);
    bytes.chunks_mut(BLOCK).for_each(|block| noise.fill(block));
}

/// A counter that the kernel keeps for a guest, as in `/proc/net/netstat`: `TCPKeepAlive`, say.
pub fn kernel_counter(lab: &Lab, guest: &str, name: &str) -> Result<u64> {
    let place = "/proc/thread-self/net/netstat";
    let text = lab.namespace(guest).inside(|| on(place, fs::read_to_string(place)))?;
    let lines: Vec<&str> = text.lines().collect();
    let value = lines.chunks_exact(2).find_map(|pair| {
        let at = pair[0].split(' ').position(|word| word == name)?;
        pair[1].split(' ').nth(at)?.parse().ok()
    });
    value.ok_or_else(|| Error::failed(format!("the kernel does not count {name}"), ""))
}

/// An address of a guest, with a port.
pub fn at(address: &str, port: u16) -> SocketAddr {
    let address: IpAddr = address.parse().unwrap_or_else(|_| panic!("`{address}` is no address"));
    (address, port).into()
}

fn stream_socket(like: SocketAddr) -> Result<OwnedFd> {
    let family = if like.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    on("a socket", socket_with(family, SocketType::STREAM, flags, None))
}

fn is_ready(socket: &impl AsFd, within: Duration) -> Result<bool> {
    let limit = Timespec { tv_sec: within.as_secs() as i64, tv_nsec: within.subsec_nanos().into() };
    on("poll", poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&limit))).map(|ready| ready > 0)
}

/// A stream that gives up in the end.
fn patient(stream: TcpStream) -> Result<TcpStream> {
    on("a stream", stream.set_nonblocking(false))?;
    on("a stream", stream.set_read_timeout(Some(SOON)))?;
    on("a stream", stream.set_write_timeout(Some(SOON)))?;
    Ok(stream)
}

fn each_block(bytes: u64, seed: u64, mut act: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let (mut noise, mut left, mut block) = (Noise::new(seed), bytes, vec![0; BLOCK]);
    while left > 0 {
        let length = left.min(BLOCK as u64) as usize;
        noise.fill(&mut block[..length]);
        act(&block[..length])?;
        left -= length as u64;
    }
    Ok(())
}

const BLOCK: usize = 16 * 1024;
