//! The statistics file of a running switch: made, kept true, and given its names.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::warn;
use weft_pipelines::Tick;

use super::compile::Compiled;
use super::sessions::DEFAULT;
use crate::config::checked::Fabric;
use crate::shm::{Capacity, Label, Settings, StatsError, StatsFile, What, WorkerStats};

/// The statistics file of a running switch. When it is dropped the file is removed: who has it open reads on until there is
/// nothing more.
pub struct Stats {
    /// Taken when it goes on in another.
    file: Option<StatsFile>,
    path: PathBuf,
}

impl Stats {
    /// Makes the file at `path` for so many workers. Returns what each of them writes to as well.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn create(
        path: PathBuf,
        (fabric, compiled): (&Fabric, &Compiled),
        workers: usize,
        cycles_per_second: u64,
        now: Tick,
    ) -> Result<(Self, Vec<WorkerStats>), StatsError> {
        let sizes = compiled.snapshot.sizes();
        let unix = unix();
        let settings = Settings {
            workers: NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN),
            capacity: Capacity::of(sizes),
            // No switch starts twice in a nanosecond, nor two with one process number.
            instance: unix.wrapping_sub(now.0) ^ u64::from(std::process::id()) << 40,
            cycles_per_second,
            epoch: compiled.snapshot.epoch,
            sizes,
            now,
            unix,
        };
        let (file, exports) = StatsFile::create(&path, &settings)?;
        let mut stats = Self { file: Some(file), path };
        stats.in_force(fabric, compiled);
        Ok((stats, exports))
    }

    /// Whether there is room for all that `compiled` has.
    pub fn fits(&self, compiled: &Compiled) -> bool {
        self.file.as_ref().is_some_and(|file| file.fits(compiled.snapshot.sizes()))
    }

    /// Takes up what is in force: how many there are of each, and what they are called.
    pub fn in_force(&mut self, fabric: &Fabric, compiled: &Compiled) {
        let Some(file) = &mut self.file else { return };
        file.in_force(compiled.snapshot.epoch, compiled.snapshot.sizes());
        if let Err(error) = file.labels(labels(fabric, compiled)) {
            warn!(file = %self.path.display(), "{error}; the names in it are those of before");
        }
    }

    /// Says that the switch lives.
    pub fn show_life(&self, now: Tick) {
        if let Some(file) = &self.file {
            file.heartbeat(now, unix());
        }
    }

    /// Says that the switch goes on in another file of the same name.
    pub fn superseded(mut self) {
        if let Some(file) = self.file.take() {
            file.superseded();
        }
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        // One that goes on in another has left its name to that.
        if self.file.take().is_some()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            warn!(file = %self.path.display(), "{error}; remove it");
        }
    }
}

/// Nanoseconds of UNIX time.
fn unix() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The names of what the numbers in the file stand for.
fn labels(fabric: &Fabric, compiled: &Compiled) -> Vec<Label> {
    let Compiled { labels, policies, .. } = compiled;
    let mut all =
        vec![Label::new(What::Host, 0, labels.host.clone()), Label::new(What::Version, 0, crate::VERSION)];
    all.extend(labels.ports.iter().zip(0..).map(|(port, id)| Label::new(What::Port, id, port.name.clone())));
    let tenants = || labels.tenants.iter().zip(0..).filter_map(|(name, id)| Some((name.as_ref()?, id)));
    all.extend(tenants().map(|(name, id)| Label::new(What::Tenant, id, name.clone())));
    let tunnels = labels.tunnels.iter().zip(0..).filter_map(|(name, id)| Some((name.as_ref()?, id)));
    all.extend(tunnels.map(|(name, id)| Label::new(What::Tunnel, id, name.clone())));
    let ids: HashMap<&str, u32> = tenants().map(|(name, id)| (name.as_str(), id)).collect();
    for (tenant, policy) in fabric.tenants.iter().zip(policies) {
        // A tenant that this host has nothing of has no number.
        let Some(id) = ids.get(&*tenant.name).copied() else { continue };
        for segment in &tenant.segments {
            all.push(Label::new(What::Segment, segment.vni.value(), segment.name.to_string()).of(id));
        }
        let rules = policy.rules.rules.iter().zip(&tenant.policy.rules);
        all.extend(rules.map(|(rule, of)| Label::new(What::Rule, rule.slot, of.name.to_string()).of(id)));
        all.push(Label::new(What::Rule, policy.rules.default_slot, DEFAULT).of(id));
        let group = |index: usize| tenant.groups.get(index).map(|group| group.name.to_string());
        for (class, groups) in (0..).zip(policy.policy.classes()) {
            let names: Vec<String> = groups.iter().filter_map(|of| group(of.0 as usize)).collect();
            all.push(Label::new(What::Class, class, names.join(",")).of(id));
        }
    }
    for (label, row) in
        labels.services.iter().zip(0..).filter_map(|(label, row)| Some((label.as_ref()?, row)))
    {
        let text = format!("{} {}", label.client, label.server);
        all.push(Label::new(What::Service, row, text).of(label.tenant.0.into()));
    }
    // One for each address, of which an endpoint may have several.
    let reports = labels.endpoints.iter().map(|endpoint| &endpoint.report);
    let addresses = reports.flat_map(|endpoint| endpoint.ips.iter().map(move |ip| (endpoint, ip)));
    all.extend(addresses.zip(0..).map(|((endpoint, ip), id)| {
        let text = format!("{ip} {}/{}", endpoint.tenant, endpoint.name);
        Label::new(What::Endpoint, id, text).of(endpoint.vni)
    }));
    all
}
