//! Child processes that do not outlive the lab.
//!
//! Each leads a process group, killed whole when the [`Process`] is dropped or the lab is interrupted; and each asks the kernel
//! to be killed when the lab dies by other means (`PR_SET_PDEATHSIG`, by way of `setpriv`).

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;
use std::{io, thread};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::ledger::{Held, Resource};
use super::{WorkDir, sweep, wait_for};
use crate::error::Doing;
use crate::guest::Output;
use crate::{Error, Result};

/// A command about to be started.
#[derive(Debug)]
pub struct Spawn {
    name: String,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    namespace: Option<String>,
    user: Option<u32>,
}

impl Spawn {
    /// The program by its path or, looked up in `$PATH`, its name.
    pub fn new(program: impl Into<OsString>) -> Self {
        let program = program.into();
        let name = Path::new(&program).file_name().unwrap_or(&program).to_string_lossy().into_owned();
        Self { name, program, args: Vec::new(), env: Vec::new(), namespace: None, user: None }
    }

    /// A line for the shell.
    pub fn shell(command: &str) -> Self {
        Self::new("sh").args(["-c", command])
    }

    /// What it is called in messages and by its log file; the program's name unless said.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Inside the network namespace of this name.
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespace = Some(name.to_owned());
        self
    }

    /// As another user (and the group of the same number), which only root may ask.
    pub fn user(mut self, uid: u32) -> Self {
        self.user = Some(uid);
        self
    }

    /// Starts it, with what it prints kept aside until it is dropped.
    pub fn start(self) -> Result<Process> {
        let log = tempfile::tempfile().doing(|| format!("a log for {}", self.name))?;
        self.launch(Log { file: log, path: None, begin: 0 }, None)
    }

    /// Starts it, with what it prints appended to `NAME.log` of the directory.
    pub fn start_in(self, dir: &WorkDir) -> Result<Process> {
        let log = Log::create(dir.join(format!("{}.log", self.name)))?;
        self.launch(log, None)
    }

    /// Starts it as [`Spawn::start_in`] does, but with its standard output apart, in `NAME.out`.
    pub fn start_apart_in(self, dir: &WorkDir) -> Result<Process> {
        let log = Log::create(dir.join(format!("{}.log", self.name)))?;
        let out = Log::create(dir.join(format!("{}.out", self.name)))?;
        self.launch(log, Some(out))
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when it had to be killed; an exit status other than 0 is no error here.
    pub fn run(self, deadline: Duration) -> Result<Output> {
        let process = self.start()?;
        let exit = process.wait(deadline)?;
        Ok(Output { status: exit.code(), stdout: process.log() })
    }

    fn launch(self, log: Log, out: Option<Log>) -> Result<Process> {
        let mut command = self.command();
        let what = || format!("starting {}", self.name);
        let stdout = out.as_ref().unwrap_or(&log).file.try_clone().doing(what)?;
        let stderr = log.file.try_clone().doing(what)?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
        let make = || {
            let child = spawn_from_lasting_thread(command).doing(what)?;
            let pid = Pid::from_child(&child);
            Ok(((child, pid), Resource::Group(pid)))
        };
        let ((child, pid), held) = Held::acquire(make)?;
        Ok(Process { name: self.name, child, pid, log, out, held })
    }

    /// Each wrapper becomes the next by `exec`, so the child is the program itself in the end. `setpriv` stands last:
    /// a change of user clears the death signal.
    fn command(&self) -> Command {
        let (lab, mut words) = (std::process::id(), Vec::<OsString>::new());
        if let Some(namespace) = &self.namespace {
            words.extend(["ip", "netns", "exec", namespace].map(Into::into));
        }
        words.push("setpriv".into());
        if let Some(uid) = self.user {
            let as_user = [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".into()];
            words.extend(as_user.map(Into::into));
        }
        words.extend(["--pdeathsig", "KILL", "--", "sh", "-c", UNLESS_ORPHAN].map(Into::into));
        words.push(lab.to_string().into());
        words.push(self.program.clone());
        words.extend(self.args.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).envs(self.env.iter().map(|(key, value)| (key, value)));
        command.env(sweep::MARK, lab.to_string());
        command
    }
}

/// A child of the lab, killed with its process group when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    log: Log,
    out: Option<Log>,
    held: Held,
}

impl Process {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, which stays its own until this value is dropped.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn exited(&self) -> Option<Exit> {
        // NOWAIT leaves the zombie, so neither its id nor its group's can pass to another before the group is killed.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.pid), options).ok()??;
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(Exit::Code(code)),
            (None, Some(signal)) => Some(Exit::Signal(signal)),
            (None, None) => None,
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`Error::TimedOut`] with the end of its log.
    pub fn wait(&self, deadline: Duration) -> Result<Exit> {
        self.with_log(wait_for(deadline, format!("{} to end", self.name), || Ok(self.exited())))
    }

    /// Waits until `condition` holds, or fails as soon as the process ends before that.
    pub fn wait_until(
        &self,
        deadline: Duration,
        what: &str,
        mut condition: impl FnMut() -> bool,
    ) -> Result<()> {
        let waited = wait_for(deadline, format!("{}: {what}", self.name), || {
            // Asked first: a process may do what was awaited and end.
            let ended = self.exited();
            match (condition(), ended) {
                (true, _) => Ok(Some(())),
                (false, None) => Ok(None),
                (false, Some(exit)) => {
                    Err(Error::failed(format!("{} ended ({exit}) before {what}", self.name), self.tail()))
                }
            }
        });
        self.with_log(waited)
    }

    /// Waits until its log contains `text`.
    pub fn wait_for_log(&self, text: &str, deadline: Duration) -> Result<()> {
        self.wait_until(deadline, &format!("`{text}` in its log"), || self.log().contains(text))
    }

    /// Asks it to end (`SIGTERM`) and waits for that.
    pub fn terminate(&self, deadline: Duration) -> Result<Exit> {
        self.signal(Signal::TERM);
        self.wait(deadline)
    }

    /// Kills it outright (`SIGKILL`), as a crash would, and waits until it is dead.
    pub fn kill9(&self) -> Result<Exit> {
        self.signal(Signal::KILL);
        self.wait(DYING)
    }

    /// Sends it a signal; nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }

    /// All it has printed so far (without its standard output, if that is kept apart).
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Its standard output so far, if that is kept apart.
    pub fn out(&self) -> String {
        self.out.as_ref().map(Log::text).unwrap_or_default()
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let place = self.log.path.as_ref().map(|path| format!("{}:\n", path.display())).unwrap_or_default();
        format!("{place}{}", lines[lines.len().saturating_sub(TAIL)..].join("\n"))
    }

    /// Adds the end of the log to an error that has nothing to show yet.
    fn with_log<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match error {
            Error::TimedOut { what, waited, detail } if detail.is_empty() => {
                Error::TimedOut { what, waited, detail: self.tail() }
            }
            other => other,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = &mut self.child;
        self.held.release(|| drop(child.wait()));
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// The status as a shell has it: 128 and the signal's number for one that was killed.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What a process printed.
#[derive(Debug)]
struct Log {
    file: File,
    /// None for a file without a name.
    path: Option<PathBuf>,
    /// Where this process's part begins: a restarted one appends.
    begin: u64,
}

impl Log {
    fn create(path: PathBuf) -> Result<Self> {
        let open = File::options().create(true).append(true).read(true).open(&path);
        let what = || format!("making {}", path.display());
        let file = open.doing(what)?;
        let begin = file.metadata().doing(what)?.len();
        Ok(Self { file, path: Some(path), begin })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read().unwrap_or_default()).into_owned()
    }

    /// By way of `/proc`, for an offset of our own: the child writes at the one it shares with our handle.
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut own = File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))?;
        own.seek(SeekFrom::Start(self.begin))?;
        let mut bytes = Vec::new();
        own.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The kernel sends the death signal when the *thread* that forked ends, and tests are threads: so one that
/// lasts as long as the lab forks them all.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Request = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Request>> = LazyLock::new(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        let serve = move || {
            for (mut command, reply) in requests {
                drop(reply.send(command.spawn()));
            }
        };
        drop(thread::Builder::new().name("lab-spawner".into()).spawn(serve));
        sender
    });
    let (reply, child) = mpsc::channel();
    let gone = |_| io::Error::other("the lab's spawner thread is gone");
    SPAWNER.send((command, reply)).map_err(|_| io::Error::other("the lab's spawner thread is gone"))?;
    child.recv().map_err(gone)?
}

/// Run with the lab's process id as `$0`: a lab that died before its child asked for the signal will send none.
const UNLESS_ORPHAN: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

/// Lines of a log that an error message shows.
const TAIL: usize = 20;

/// How long the kernel may take over a killed process.
const DYING: Duration = Duration::from_secs(10);
