//! Another document for a running switch: what it would change, and putting it in force.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{error, info, warn};
use weft_pipelines::{Epoch, PortId};

use super::{Buffers, NoRoom, Port, Silent, StartError, Switch, TooLittle, dpdk, open, take_queues};
use crate::capture::InForce;
use crate::config::checked::{Attach, Fabric, HostIndex};
use crate::control::compile::{self, Compiled, PortPlan, Previous};
use crate::control::diff;
use crate::control::runtime_dir::Instance;
use crate::control::sessions::{Judge, View};
use crate::control::stats::Stats;
use crate::report::{Applied, Detail, Plan, Times};
use crate::shm::WorkerStats;
use crate::worker::{Mail, NewPort, Preparation, Reply};

/// How long a worker may take to take up a configuration. Its core may be taken by something else for a while.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sessions that a plan tells of one by one.
const EXAMPLES: usize = 20;

/// Why a document was not put in force. Nothing has changed then, unless it is said.
#[derive(Debug, Error)]
pub enum Refused {
    /// The host is not in it.
    #[error("the document has no host {host}")]
    NoHost {
        /// This host.
        host: String,
    },
    /// It changes what is fixed when a switch starts.
    #[error("the switch of host {host} has to be started anew for {}", told(details))]
    Restart {
        /// This host.
        host: String,
        /// What.
        details: Vec<Detail>,
    },
    /// It is too large.
    #[error(transparent)]
    TooMany(#[from] compile::TooMany),
    /// The memory is too small for its ports.
    #[error(transparent)]
    TooLittle(#[from] TooLittle),
    /// More ports than DPDK has room for, those counted that go.
    #[error(
        "with the ports that come, until those are closed that go, the host has {0}; or take away the ones first, with a \
         document between the two"
    )]
    NoRoom(NoRoom),
    /// A new port wants what one has that goes.
    #[error(
        "port {port}: {what} is still that of port {holder}, which goes with the same document: take it away first, with \
         a document between the two"
    )]
    Held {
        /// The new port.
        port: String,
        /// The device or socket.
        what: String,
        /// The old port.
        holder: String,
    },
    /// A new port was not to be opened.
    #[error(transparent)]
    Port(#[from] Box<StartError>),
    /// A worker does not answer.
    #[error("{0}")]
    Silent(#[from] Silent),
    /// A worker did not answer in the midst of an earlier change.
    #[error(
        "a worker did not answer in the midst of an earlier change, and may work by another document than this switch \
         believes; start it anew"
    )]
    Torn,
}

fn told(details: &[Detail]) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let told = details
        .iter()
        .map(|Detail { key, old, new }| format!("{key} ({} now, {} then)", value(old), value(new)));
    told.collect::<Vec<_>>().join("; ")
}

impl Switch {
    /// What `fabric` would change.
    ///
    /// # Errors
    ///
    /// When the document cannot be used for this host at all, and when a worker does not answer.
    pub async fn plan(&self, fabric: &Fabric) -> Result<Plan, Refused> {
        let host = self.host_of(fabric)?;
        let mut plan = Plan {
            host: self.compiled.labels.host.clone(),
            epoch: self.compiled.snapshot.epoch.0,
            changes: diff::changes(&self.fabric, fabric),
            restart: diff::restart(&self.fabric, fabric, &self.compiled.labels.host),
            ..Plan::default()
        };
        let next = self.compile(fabric, host)?;
        self.check_ports(fabric, host, &next)?;
        let (old, new) = (View::new(&self.fabric, &self.compiled), View::new(fabric, &next));
        let mut judge = Judge::new(old, new, EXAMPLES);
        if judge.is_needed() {
            self.walk(|_, record| judge.judge(record)).await?;
            plan.sessions = judge.changes();
        }
        Ok(plan)
    }

    /// Puts the document in force that `text` has and that was read as `fabric` in `read` time: whole, or not at all.
    ///
    /// # Errors
    ///
    /// When it is refused. Nothing has changed then, unless a worker does not answer.
    pub async fn apply(
        &mut self,
        (text, fabric): (String, Fabric),
        read: Duration,
        instance: &Instance,
    ) -> Result<Applied, Refused> {
        if self.torn {
            return Err(Refused::Torn);
        }
        let start = Instant::now();
        let host = self.host_of(&fabric)?;
        let name = self.compiled.labels.host.clone();
        let details = diff::restart(&self.fabric, &fabric, &name);
        if !details.is_empty() {
            return Err(Refused::Restart { host: name, details });
        }
        let next = self.compile(&fabric, host)?;
        self.check_ports(&fabric, host, &next)?;
        let compiled = start.elapsed();
        let ports = self.open_new(&fabric, host, &next, instance)?;
        let opened = start.elapsed();
        // What was decided by the rules as they were is told by their names.
        self.tell_decisions();
        let (stats, exports) = self.room_for(&fabric, &next, instance);
        let retired = match self.publish(&next, ports, exports).await {
            Ok(retired) => retired,
            Err(silent) => {
                self.torn = true;
                error!("{silent}; it was to take up another document, and this switch takes no more");
                return Err(silent.into());
            }
        };
        let published = start.elapsed();
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let times = Times {
            read_ns: nanoseconds(read),
            compile_ns: nanoseconds(compiled),
            open_ns: nanoseconds(opened - compiled),
            publish_ns: nanoseconds(published - opened),
        };
        // The queues go before their ports, which closes these.
        drop(retired);
        self.close_old(&next);
        let epoch = next.snapshot.epoch.0;
        let changes = diff::changes(&self.fabric, &fabric);
        info!(
            epoch,
            changes = changes.len(),
            live_ms = times.live_ns() / 1_000_000,
            "another document is in force"
        );
        self.links.resize(next.snapshot.ports.len(), false);
        if let Some(stats) = stats
            && let Some(before) = self.stats.replace(stats)
        {
            before.superseded();
        } else if let Some(stats) = &mut self.stats {
            stats.in_force(&fabric, &next);
        }
        (self.fabric, self.compiled) = (Arc::new(fabric), Arc::new(next));
        (self.text, self.host) = (text, host);
        self.in_force.send_replace(InForce { fabric: self.fabric.clone(), compiled: self.compiled.clone() });
        Ok(Applied { host: name, epoch, changes, times })
    }

    fn host_of(&self, fabric: &Fabric) -> Result<HostIndex, Refused> {
        let host = &self.compiled.labels.host;
        fabric.host(host).ok_or_else(|| Refused::NoHost { host: host.clone() })
    }

    fn compile(&self, fabric: &Fabric, host: HostIndex) -> Result<Compiled, Refused> {
        let epoch = Epoch(self.compiled.snapshot.epoch.0 + 1);
        let previous = Some(Previous { fabric: &self.fabric, compiled: &self.compiled });
        Ok(compile::compile(fabric, host, &self.macs, self.cores.len(), epoch, previous)?)
    }

    /// The ports that `next` has and the switch has not.
    fn new_ports<'a>(
        &self,
        fabric: &'a Fabric,
        host: HostIndex,
        next: &Compiled,
    ) -> Vec<(PortId, PortPlan<'a>)> {
        let known = self.compiled.snapshot.ports.len();
        let plans = next.ports.iter().copied().zip(compile::ports(fabric, host));
        plans.filter(|(port, _)| port.index() >= known).collect()
    }

    /// Whether there is room for the ports that come beside those that go.
    fn check_ports(&self, fabric: &Fabric, host: HostIndex, next: &Compiled) -> Result<(), Refused> {
        Buffers::new(fabric, host)?;
        let new = self.new_ports(fabric, host, next);
        if !new.is_empty() {
            let open = self.ports.iter().flatten().map(Port::is_device);
            let coming = new.iter().map(|(_, plan)| plan.is_device());
            NoRoom::check(open.chain(coming)).map_err(Refused::NoRoom)?;
        }
        let staying: HashSet<PortId> = next.ports.iter().copied().collect();
        let current = self.compiled.ports.iter().zip(compile::ports(&self.fabric, self.host));
        let going: Vec<_> =
            current.filter(|(port, _)| !staying.contains(port)).map(|(_, plan)| plan).collect();
        for (_, plan) in &new {
            let wanted = resource(plan);
            if let Some(holder) = going.iter().find(|old| resource(old) == wanted) {
                let what = match wanted {
                    Resource::Socket(path) => format!("socket {}", path.display()),
                    Resource::Device(name) => format!("device {name}"),
                };
                return Err(Refused::Held { port: plan.name(), what, holder: holder.name() });
            }
        }
        Ok(())
    }

    /// Opens the ports that come. If one cannot be opened, none stays open.
    fn open_new(
        &self,
        fabric: &Fabric,
        host: HostIndex,
        next: &Compiled,
        instance: &Instance,
    ) -> Result<Vec<(PortId, Port)>, Refused> {
        let new = self.new_ports(fabric, host, next);
        let opened = new.iter().map(|(id, plan)| Ok((*id, open(&self.eal, &self.mempool, instance, plan)?)));
        opened.collect::<Result<_, StartError>>().map_err(|error| Box::new(error).into())
    }

    /// Gives the workers their new ports and then, when all are ready to count what concerns these, the configuration.
    /// Returns what they had no more use for.
    async fn publish(
        &mut self,
        next: &Compiled,
        ports: Vec<(PortId, Port)>,
        exports: Vec<WorkerStats>,
    ) -> Result<Vec<crate::worker::Retired<dpdk::Mbuf>>, Silent> {
        let (sizes, workers) = (next.snapshot.sizes(), self.workers.len());
        if sizes != self.compiled.snapshot.sizes() {
            let mut exports = exports.into_iter();
            let mut letter = || Box::new(Preparation { sizes, ports: Vec::new(), stats: exports.next() });
            let mut letters: Vec<_> = (0..workers).map(|_| letter()).collect();
            self.ports.resize_with(sizes.ports, || None);
            for (id, mut port) in ports {
                if let Some((inputs, output)) = take_queues(&mut port) {
                    let owner = compile::owner(id, workers).index();
                    letters[owner].ports.push(NewPort { port: id, inputs, output });
                }
                self.ports[id.index()] = Some(port);
            }
            for (worker, letter) in letters.into_iter().enumerate() {
                self.send(worker, Mail::Prepare(letter))?;
            }
            for worker in 0..workers {
                let ready = |reply| matches!(reply, Reply::Prepared(_)).then_some(());
                self.answer(worker, PATIENCE, ready).await?;
            }
        }
        for worker in 0..workers {
            self.send(worker, Mail::Publish(next.snapshot.clone()))?;
        }
        let mut retired = Vec::new();
        for worker in 0..workers {
            let queues = self.answer(worker, PATIENCE, |reply| match reply {
                Reply::Retired(_, queues) => Some(queues),
                _ => None,
            });
            retired.extend(queues.await?);
        }
        Ok(retired)
    }

    /// Another statistics file and the workers' parts of it, if the one that there is has no room for `next`.
    fn room_for(
        &self,
        fabric: &Fabric,
        next: &Compiled,
        instance: &Instance,
    ) -> (Option<Stats>, Vec<WorkerStats>) {
        if self.stats.as_ref().is_none_or(|stats| stats.fits(next)) {
            return (None, Vec::new());
        }
        let (workers, hz) = (self.workers.len(), dpdk::tsc_hz(&self.eal));
        match Stats::create(instance.stats(), (fabric, next), workers, hz, self.now()) {
            Ok((stats, exports)) => (Some(stats), exports),
            Err(error) => {
                warn!("{error}");
                (None, Vec::new())
            }
        }
    }

    /// Closes the ports that `next` has no more. Their queues are back.
    fn close_old(&mut self, next: &Compiled) {
        let staying: HashSet<PortId> = next.ports.iter().copied().collect();
        for (port, id) in self.ports.iter_mut().zip((0..).map(PortId)) {
            if !staying.contains(&id) && port.take().is_some() {
                info!(port = self.compiled.labels.ports[id.index()].name, "closed");
                self.links[id.index()] = false;
            }
        }
    }
}

/// What only one port can have.
#[derive(PartialEq, Eq)]
enum Resource {
    Socket(PathBuf),
    Device(String),
}

fn resource(plan: &PortPlan<'_>) -> Resource {
    let device = |device: &str| Resource::Device(device.split(',').next().unwrap_or(device).to_owned());
    match plan {
        PortPlan::Uplink(uplink) => device(&uplink.device),
        PortPlan::Guest { endpoint, .. } => match &endpoint.attach {
            Attach::Device(text) => device(text),
            Attach::VhostUser { path, .. } => Resource::Socket(path.components().collect()),
        },
    }
}
