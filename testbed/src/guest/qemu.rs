//! A guest that is a real Linux machine, under QEMU without KVM, with its network devices on vhost-user.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use super::{Job, Kernel, Output, Station};
use crate::error::Doing;
use crate::scope::{Exit, Watch};
use crate::{Error, Process, Result, Spawn, WorkDir, wait_for};

/// What a machine is to be.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What it is called; the names of its files begin so.
    pub name: String,
    /// Its memory, in MiB. Some 40 are the system's; files of a transfer lie in the rest.
    pub memory: u32,
    /// Its network devices: `eth0` and so on. The first one's address is the machine's.
    pub nics: Vec<Nic>,
}

impl Machine {
    /// A machine with one network device.
    pub fn new(name: impl Into<String>, nic: Nic) -> Self {
        Self { name: name.into(), memory: 192, nics: vec![nic] }
    }
}

/// A network device of a machine.
#[derive(Clone, Debug)]
pub struct Nic {
    /// The switch's vhost-user socket. A machine begins to boot when it is there; after that it may go and come again.
    pub socket: PathBuf,
    /// Its MAC address.
    pub mac: String,
    /// Its address.
    pub address: IpAddr,
    /// The length of its subnet's prefix.
    pub prefix: u8,
    /// Its MTU.
    pub mtu: u16,
    /// The way to elsewhere.
    pub gateway: Option<IpAddr>,
    /// How many queue pairs, each with a processor of its own.
    pub queues: u16,
}

impl Nic {
    /// A device with one queue pair and an MTU of 1500.
    pub fn new(socket: impl Into<PathBuf>, mac: &str, address: IpAddr, prefix: u8) -> Self {
        let (socket, mac) = (socket.into(), mac.to_owned());
        Self { socket, mac, address, prefix, mtu: 1500, gateway: None, queues: 1 }
    }
}

/// A machine that runs.
#[derive(Debug)]
pub struct QemuGuest {
    machine: Machine,
    kernel: Kernel,
    dir: Arc<WorkDir>,
    running: Running,
}

impl QemuGuest {
    /// Starts a machine and returns; [`QemuGuest::wait_ready`] waits for it, so several boot side by side.
    pub fn start(dir: &Arc<WorkDir>, machine: Machine) -> Result<Self> {
        let kernel = Kernel::cached()?;
        let running = Running::start(dir, &machine, &kernel)?;
        Ok(Self { machine, kernel, dir: Arc::clone(dir), running })
    }

    /// Waits until it has booted and takes commands.
    pub fn wait_ready(&self, deadline: Duration) -> Result<()> {
        self.running.wait_ready(deadline)
    }

    /// Kills it as a crash of its hypervisor would.
    pub fn kill9(&self) -> Result<Exit> {
        self.running.process.kill9()
    }

    /// Starts it anew on the same sockets, killing it before if it runs.
    pub fn restart(&mut self) -> Result<()> {
        self.kill9()?;
        self.running = Running::start(&self.dir, &self.machine, &self.kernel)?;
        Ok(())
    }

    /// What it was made to be.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// QEMU itself: its id, its log.
    pub fn process(&self) -> &Process {
        &self.running.process
    }

    /// What its kernel had to say.
    pub fn console(&self) -> String {
        fs::read_to_string(&self.running.console).unwrap_or_default()
    }
}

impl Station for QemuGuest {
    fn name(&self) -> &str {
        &self.machine.name
    }

    fn address(&self) -> IpAddr {
        self.machine.nics.first().map_or(Ipv4Addr::LOCALHOST.into(), |nic| nic.address)
    }

    fn run(&self, command: &str, deadline: Duration) -> Result<Output> {
        self.running.run(command, deadline)
    }

    fn start(&self, command: &str) -> Result<Job> {
        let number = self.running.next_number();
        let job = format!("/tmp/job.{number}");
        let line =
            format!("( ( {command} ) > {job}.out 2>&1; echo $? > {job}.s; mv {job}.s {job}.status ) &");
        self.running.run(&line, AT_ONCE)?.success(command)?;
        Ok(Job::Remote(number))
    }

    fn finish(&self, job: Job, deadline: Duration) -> Result<Output> {
        let Job::Remote(number) = job else {
            return Err(Error::failed(format!("a job that is not of {}", self.name()), ""));
        };
        let job = format!("/tmp/job.{number}");
        let line = format!(
            "until [ -e {job}.status ]; do usleep 50000; done; cat {job}.out; exit $(cat {job}.status)"
        );
        self.running.run(&line, deadline)
    }
}

/// One life of a machine.
#[derive(Debug)]
struct Running {
    process: Process,
    console: PathBuf,
    listener: UnixListener,
    line: Mutex<Option<Line>>,
    numbers: Mutex<u32>,
}

impl Running {
    fn start(dir: &WorkDir, machine: &Machine, kernel: &Kernel) -> Result<Self> {
        let (control, console) =
            (dir.join(format!("{}.ctl", machine.name)), dir.join(format!("{}.con", machine.name)));
        for old in [&control, &console] {
            drop(fs::remove_file(old));
        }
        // QEMU connects to us, not we to it: so nothing the machine says can be lost.
        let listener =
            UnixListener::bind(&control).doing(|| format!("listening at {}", control.display()))?;
        listener.set_nonblocking(true).doing(|| "a listener".into())?;
        let process = command(machine, kernel, &control, &console).start_in(dir)?;
        Ok(Self { process, console, listener, line: Mutex::new(None), numbers: Mutex::new(0) })
    }

    fn wait_ready(&self, deadline: Duration) -> Result<()> {
        self.with_line(&Watch::new(deadline), |_| Ok(()))
    }

    fn run(&self, command: &str, deadline: Duration) -> Result<Output> {
        if command.contains('\n') {
            return Err(Error::failed("a command of more than one line", command));
        }
        let number = self.next_number();
        let watch = Watch::new(deadline);
        self.with_line(&watch, |line| line.exchange(number, command, &watch)).and_then(|output| match output
            .status
        {
            KILLED if watch.left() < Duration::from_secs(1) => Err(Error::TimedOut {
                what: format!("`{command}` in {}", self.process.name()),
                waited: deadline,
                detail: output.stdout,
            }),
            _ => Ok(output),
        })
    }

    fn next_number(&self) -> u32 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        *numbers += 1;
        *numbers
    }

    /// Does something on the control line, opening it first: the machine is ready when it has said so there.
    fn with_line<T>(&self, watch: &Watch, act: impl FnOnce(&mut Line) -> Result<T>) -> Result<T> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.is_none() {
            *line = Some(self.open(watch)?);
        }
        let open = line.as_mut().ok_or_else(|| Error::failed("no control line", ""))?;
        act(open).map_err(|error| match error {
            Error::TimedOut { .. } => error,
            other => Error::failed(format!("{}: {other}", self.process.name()), self.process.tail()),
        })
    }

    fn open(&self, watch: &Watch) -> Result<Line> {
        let name = self.process.name();
        let stream = wait_for(watch.left(), format!("{name} to open its control line"), || {
            match (self.listener.accept(), self.process.exited()) {
                (Ok((stream, _)), _) => Ok(Some(stream)),
                (Err(_), Some(exit)) => {
                    Err(Error::failed(format!("{name} ended ({exit})"), self.process.tail()))
                }
                (Err(_), None) => Ok(None),
            }
        })?;
        let mut line = Line { stream: BufReader::new(stream) };
        match line.read_line(watch)?.as_str() {
            "ready" => Ok(line),
            other => Err(Error::failed(format!("{name} said `{other}`, not `ready`"), self.process.tail())),
        }
    }
}

/// The control line of a machine: one command at a time, each answer with its length before it (see `init.sh`).
#[derive(Debug)]
struct Line {
    stream: BufReader<UnixStream>,
}

impl Line {
    fn exchange(&mut self, number: u32, command: &str, watch: &Watch) -> Result<Output> {
        // The machine ends the command itself, a little before we would give up on the line.
        let seconds = watch.left().as_secs().max(1);
        let request = format!("{number} {seconds} {command}\n");
        self.stream.get_mut().write_all(request.as_bytes()).doing(|| "writing to the machine".into())?;
        let limit = Watch::new(Duration::from_secs(seconds) + GRACE);
        loop {
            let header = self.read_line(&limit)?;
            let malformed = || Error::failed(format!("the machine answered `{header}`"), "");
            let mut words = header.split(' ').map(str::parse::<i64>);
            let (Some(Ok(answered)), Some(Ok(status)), Some(Ok(length))) =
                (words.next(), words.next(), words.next())
            else {
                return Err(malformed());
            };
            let mut bytes = vec![0; usize::try_from(length).map_err(|_| malformed())?];
            self.read(&limit, |stream| stream.read_exact(&mut bytes))?;
            // An answer to a command given up on earlier is passed over.
            if answered == i64::from(number) {
                let stdout = String::from_utf8_lossy(&bytes).into_owned();
                return Ok(Output { status: i32::try_from(status).map_err(|_| malformed())?, stdout });
            }
        }
    }

    fn read_line(&mut self, watch: &Watch) -> Result<String> {
        let mut line = String::new();
        self.read(watch, |stream| stream.read_line(&mut line).map(drop))?;
        match line.strip_suffix('\n') {
            Some(text) => Ok(text.to_owned()),
            None => Err(Error::failed("the machine's control line is closed", line)),
        }
    }

    fn read(
        &mut self,
        watch: &Watch,
        act: impl FnOnce(&mut BufReader<UnixStream>) -> io::Result<()>,
    ) -> Result<()> {
        let left = watch.left().max(Duration::from_millis(1));
        self.stream.get_ref().set_read_timeout(Some(left)).doing(|| "a deadline".into())?;
        act(&mut self.stream).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                Error::TimedOut { what: "the machine to answer".into(), waited: left, detail: String::new() }
            }
            _ => Error::Io { what: "reading from the machine".into(), source: error },
        })
    }
}

fn command(machine: &Machine, kernel: &Kernel, control: &Path, console: &Path) -> Spawn {
    let memory = machine.memory;
    let processors = machine.nics.iter().map(|nic| nic.queues).max().unwrap_or(1);
    let mut append = "console=ttyS0 quiet panic=-1".to_owned();
    for (index, nic) in machine.nics.iter().enumerate() {
        let gateway = nic.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
        append += &format!(" lab.eth{index}={}/{},{},{gateway}", nic.address, nic.prefix, nic.mtu);
    }
    let mut spawn = Spawn::new("qemu-system-x86_64")
        .named(&machine.name)
        .args(["-accel", "tcg", "-cpu", "max", "-machine", "q35,memory-backend=mem"])
        .args(["-smp".into(), processors.to_string(), "-m".into(), memory.to_string()])
        // The switch maps the machine's memory: it has to be shared, which memfd allows without hugepages or root.
        .args(["-object".into(), format!("memory-backend-memfd,id=mem,size={memory}M,share=on")])
        .args(["-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"])
        .args([
            "-kernel".as_ref(),
            kernel.image.as_os_str(),
            "-initrd".as_ref(),
            kernel.initramfs.as_os_str(),
        ])
        .args(["-append".into(), append])
        .args(["-chardev".into(), format!("file,id=console,path={}", console.display()), "-serial".into()])
        .args(["chardev:console", "-chardev"])
        .args([
            format!("socket,id=control,path={}", control.display()),
            "-serial".into(),
            "chardev:control".into(),
        ]);
    for (index, nic) in machine.nics.iter().enumerate() {
        // reconnect: a switch that comes back finds the machine again, within a second.
        let socket = format!("socket,id=v{index},path={},reconnect=1", nic.socket.display());
        let netdev = format!("vhost-user,id=n{index},chardev=v{index},queues={}", nic.queues);
        // vectors=0: with MSI-X, QEMU 7.2 under TCG crashes on a vhost-user device.
        let mq = if nic.queues > 1 { ",mq=on" } else { "" };
        let device = format!("virtio-net-pci,netdev=n{index},mac={},vectors=0{mq}", nic.mac);
        spawn = spawn.args(["-chardev".into(), socket, "-netdev".into(), netdev, "-device".into(), device]);
    }
    spawn
}

/// The status of a command that the machine killed at its deadline.
const KILLED: i32 = 137;

/// How much longer than the machine we wait: its clock is slow when the lab's processors are busy.
const GRACE: Duration = Duration::from_secs(10);

/// For a command that does no more than start another.
const AT_ONCE: Duration = Duration::from_secs(20);
