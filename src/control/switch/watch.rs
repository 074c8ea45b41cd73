//! Who looks at packets of the running switch.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;
use weft_pipelines::snapshot::PortKind;
use weft_pipelines::witness::WITNESSES;
use weft_pipelines::{PortId, Vni, Witness};

use super::{Mbuf, PATIENCE, Silent, Switch};
use crate::capture::filter::{Filter, Wrong};
use crate::capture::tap::{self, Wanted};
use crate::capture::{Capture, MAX_SNAP, Spec};
use crate::config::suggest::{among, quoted};
use crate::trace::{self, Trace};
use crate::worker::{Mail, Profile, Reply, Sums};

/// Why nobody looks.
#[derive(Debug, Error)]
pub enum WatchError {
    /// As many look as may.
    #[error(
        "{WITNESSES} captures, traces and profiles run already, which is as many as may at once: end one first"
    )]
    TooMany,
    /// No such port.
    #[error("host {host} has no port {name}; {likely}", name = quoted(.name))]
    NoPort {
        /// This host.
        host: String,
        /// What was asked for.
        name: String,
        /// What may have been meant.
        likely: String,
    },
    /// The filter is none.
    #[error(transparent)]
    Filter(#[from] Wrong),
    /// A worker does not answer.
    #[error(transparent)]
    Silent(#[from] Silent),
}

impl Switch {
    /// Begins a capture: when this is answered, all workers have begun.
    ///
    /// # Errors
    ///
    /// When there is no such port, when the filter is wrong, when as many look as may, and when a worker does not answer.
    pub async fn capture(&mut self, spec: &Spec) -> Result<Capture, WatchError> {
        let filter: Filter = spec.filter.parse()?;
        let ports = self.ports_named(&spec.ports)?;
        let snapshot = &self.compiled.snapshot;
        let wanted = Arc::new(Wanted {
            inward: spec.inward,
            outward: spec.outward,
            filter,
            snap: spec.snap.clamp(1, MAX_SNAP),
            vnis: self.vnis(),
            vxlan_port: snapshot.vxlan_port,
            ports,
        });
        let (mut taps, mut trays) = (Vec::new(), Vec::new());
        for _ in 0..self.workers.len() {
            let (tap, tray) = tap::tap(wanted.clone(), tap::RING, snapshot.ports.len());
            taps.push(Box::new(tap) as Box<dyn Witness<Mbuf>>);
            trays.push(tray);
        }
        let id = self.watch(taps).await?;
        let (start_unix_ns, in_force) = (self.start_unix_ns(), self.in_force.subscribe());
        Ok(Capture { id, trays, wanted, start_unix_ns, in_force })
    }

    /// Begins a trace: when this is answered, all workers have begun.
    ///
    /// # Errors
    ///
    /// Those of [`capture`](Self::capture).
    pub async fn trace(&mut self, spec: &trace::Spec) -> Result<Trace, WatchError> {
        let wanted = Arc::new(trace::tap::Wanted {
            ports: self.ports_named(&spec.ports)?,
            filter: spec.filter.parse()?,
            vnis: self.vnis(),
            vxlan_port: self.compiled.snapshot.vxlan_port,
            left: AtomicU64::new(spec.count.clamp(1, trace::MAX_COUNT)),
        });
        let (taps, trays) = trace::tap::taps(&wanted, self.workers.len());
        let mut trace = Trace::new(self.start_unix_ns(), trays, wanted, self.in_force.subscribe());
        let taps = taps.into_iter().map(|tap| Box::new(tap) as Box<dyn Witness<Mbuf>>).collect();
        trace.id = self.watch(taps).await?;
        Ok(trace)
    }

    /// By port: the segment of the guest there.
    fn vnis(&self) -> Vec<Option<Vni>> {
        let snapshot = &self.compiled.snapshot;
        let vni = |port: PortId| Some(snapshot.segment(snapshot.guest(port)?.segment).vni);
        (0..snapshot.ports.len()).map(|port| vni(PortId(port as u16))).collect()
    }

    /// When the workers' clock was at 0, in nanoseconds since 1970.
    fn start_unix_ns(&self) -> u64 {
        let (now, unix) = (self.now().0, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        (unix.as_nanos() as u64).saturating_sub(now)
    }

    /// Begins to count what the stages cost. Returns the number to end it by, and what each worker counts.
    ///
    /// # Errors
    ///
    /// When as many look as may, and when a worker does not answer.
    pub async fn profile(&mut self) -> Result<(u64, Vec<Arc<Sums>>), WatchError> {
        let (mut profiles, mut sums) = (Vec::new(), Vec::new());
        for _ in 0..self.workers.len() {
            let (profile, counted) = Profile::new(self.clock);
            profiles.push(Box::new(profile) as Box<dyn Witness<Mbuf>>);
            sums.push(counted);
        }
        Ok((self.watch(profiles).await?, sums))
    }

    /// Shows all packets to `witnesses`, one for each worker. Returns the number to send them away by.
    async fn watch(&mut self, witnesses: Vec<Box<dyn Witness<Mbuf>>>) -> Result<u64, WatchError> {
        if self.watching.len() >= WITNESSES {
            return Err(WatchError::TooMany);
        }
        let id = self.ask();
        self.watching.push(id);
        for (worker, witness) in witnesses.into_iter().enumerate() {
            let begun = match self.send(worker, Mail::Watch(id, witness)) {
                Ok(()) => {
                    let begun = |reply| matches!(reply, Reply::Watching(of) if of == id).then_some(());
                    self.answer(worker, PATIENCE, begun).await
                }
                Err(silent) => Err(silent),
            };
            if let Err(silent) = begun {
                // It would come to a worker that has only been slow, and nobody read what it tells.
                let _ = self.unwatch(id).await;
                return Err(silent.into());
            }
        }
        Ok(id)
    }

    /// Sends away who looks by this number. When this is answered, nothing more comes.
    ///
    /// # Errors
    ///
    /// When a worker does not answer; all are told all the same.
    pub async fn unwatch(&mut self, id: u64) -> Result<(), Silent> {
        if !self.watching.contains(&id) {
            return Ok(());
        }
        let told: Vec<_> =
            (0..self.workers.len()).map(|worker| self.send(worker, Mail::Unwatch(id))).collect();
        let mut all = Ok(());
        for (worker, told) in told.into_iter().enumerate() {
            let over = |reply| matches!(reply, Reply::Unwatched(of, _) if of == id).then_some(());
            let ended = match told {
                Ok(()) => self.answer(worker, PATIENCE, over).await,
                Err(silent) => Err(silent),
            };
            all = all.and(ended);
        }
        self.watching.retain(|of| *of != id);
        all
    }

    /// The ports of these names, and of these tenants; `None` for all where no name is given.
    fn ports_named(&self, names: &[String]) -> Result<Option<Vec<PortId>>, WatchError> {
        let (snapshot, labels) = (&self.compiled.snapshot, &self.compiled.labels);
        let here = || {
            let ports = (0..).map(PortId).zip(&snapshot.ports).zip(&labels.ports);
            let ports = ports.filter(|((_, port), _)| !matches!(port.kind, PortKind::Vacant));
            ports.map(|((id, _), label)| (id, label.name.as_str()))
        };
        let mut all = Vec::new();
        for name in names {
            let of = format!("{name}/");
            let before = all.len();
            all.extend(here().filter(|(_, port)| port == name || port.starts_with(&of)).map(|(id, _)| id));
            if all.len() == before {
                let names: Vec<_> = here().map(|(_, port)| port).collect();
                let likely = among(name, names.iter().copied());
                return Err(WatchError::NoPort { host: labels.host.clone(), name: name.clone(), likely });
            }
        }
        Ok((!names.is_empty()).then_some(all))
    }
}
