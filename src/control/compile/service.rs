//! Which pairs of groups have a row that counts how services do between them.

use std::collections::{BTreeSet, HashMap, HashSet};

use weft_pipelines::TenantId;
use weft_pipelines::overlay::Table;
use weft_pipelines::service::{Row, Rows, TenantRows, rows};

use super::numbers::Numbers;
use super::{TenantPolicy, TooMany};
use crate::config::checked::{Fabric, HostIndex, Peer, Tenant};

/// Rows that are given to pairs of groups while a switch runs, at most. What comes later counts as one of its tenant's others.
pub const MOST_PAIRS: usize = 1024;
/// What the row of a tenant's other pairs is called, for either side.
const OTHER: &str = "*";
/// What an end is called that is in no group.
const NO_GROUP: &str = "-";

/// What stands for a row from one document to the next: the tenant, and the names of both groups. None where an end has no
/// group; no pair at all where the row is for what has none of its own.
pub(super) type Key = (String, Option<[Option<String>; 2]>);

/// What a row is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLabel {
    /// The tenant.
    pub tenant: TenantId,
    /// The client's group, `-` for none, `*` for any other.
    pub client: String,
    /// The server's, likewise.
    pub server: String,
}

/// The rows of a host's part of `fabric`, and what they are called.
///
/// A pair has a row if one end of it may be on this host, as long as there are rows: first those that rules name, then the
/// others in the order of the document, of each tenant in turn.
pub(super) fn compile(
    (fabric, host): (&Fabric, HostIndex),
    ids: &[TenantId],
    policies: &[TenantPolicy],
    numbers: &mut Numbers,
) -> Result<(Rows, Vec<Option<ServiceLabel>>), TooMany> {
    let all = fabric.tenants.iter().zip(policies).zip(ids);
    let here: Vec<Here<'_>> =
        all.filter_map(|((tenant, policy), id)| Here::new(tenant, policy, *id, host)).collect();
    let mut chosen: Vec<(usize, Option<[u32; 2]>)> = (0..here.len()).map(|index| (index, None)).collect();
    chosen.extend(kept(&here, numbers));
    let new = new(&here, MOST_PAIRS - numbers.pairs.min(MOST_PAIRS), chosen.iter().copied().collect());
    numbers.pairs += new.len();
    chosen.extend(new);
    let keys = chosen.iter().map(|(tenant, pair)| here[*tenant].key(*pair));
    let given = numbers.services.follow("pairs of groups", keys)?;
    let mut labels = vec![None; numbers.services.given()];
    let mut tenants = vec![TenantRows::default(); numbers.tenants.given()];
    let mut pairs: HashMap<usize, Vec<(u64, Row)>> = HashMap::new();
    for ((tenant, pair), row) in chosen.into_iter().zip(given) {
        let of = &here[tenant];
        labels[usize::from(row)] = Some(of.label(pair));
        match pair {
            Some([client, server]) => {
                pairs.entry(tenant).or_default().push((rows::key(client, server), Row(row.into())));
            }
            None => tenants[of.id.index()].other = Row(row.into()),
        }
    }
    for (index, of) in here.into_iter().enumerate() {
        let tenant = &mut tenants[of.id.index()];
        tenant.pairs = Table::new(pairs.remove(&index).unwrap_or_default());
        tenant.groups = of.by_class;
    }
    Ok((Rows::new(tenants, numbers.services.given()), labels))
}

/// Those that have rows already and can still be.
fn kept(here: &[Here<'_>], numbers: &Numbers) -> Vec<(usize, Option<[u32; 2]>)> {
    let places: HashMap<&str, usize> =
        here.iter().enumerate().map(|(index, of)| (&*of.tenant.name, index)).collect();
    let names: Vec<HashMap<&str, u32>> = here
        .iter()
        .map(|of| of.tenant.groups.iter().zip(1..).map(|(group, number)| (&*group.name, number)).collect())
        .collect();
    let kept = numbers.services.keys().filter_map(|(tenant, pair)| {
        let tenant = *places.get(tenant.as_str())?;
        let number = |name: &Option<String>| match name {
            Some(name) => names[tenant].get(name.as_str()).copied(),
            None => Some(0),
        };
        let [client, server] = pair.as_ref()?;
        let pair = [number(client)?, number(server)?];
        here[tenant].can_be(pair).then_some((tenant, Some(pair)))
    });
    kept.collect()
}

/// Those that get rows now, `room` at most.
fn new(
    here: &[Here<'_>],
    room: usize,
    mut known: HashSet<(usize, Option<[u32; 2]>)>,
) -> Vec<(usize, Option<[u32; 2]>)> {
    let mut new = Vec::new();
    let mut coming: Vec<_> = here.iter().map(|of| Some(of.pairs())).collect();
    while new.len() < room && coming.iter().any(Option::is_some) {
        for (index, pairs) in coming.iter_mut().enumerate() {
            let next = pairs.as_mut().and_then(|pairs| pairs.find(|pair| known.insert((index, Some(*pair)))));
            match next {
                Some(pair) if new.len() < room => new.push((index, Some(pair))),
                Some(_) => break,
                None => *pairs = None,
            }
        }
    }
    new
}

/// A tenant that has endpoints on this host. Groups have their numbers, from 1; 0 is none.
struct Here<'a> {
    tenant: &'a Tenant,
    id: TenantId,
    /// By set of groups: the one that an end in it counts as.
    by_class: Box<[u32]>,
    /// Those that ends count as.
    all: BTreeSet<u32>,
    /// Those that endpoints of this host count as.
    local: BTreeSet<u32>,
}

impl<'a> Here<'a> {
    fn new(tenant: &'a Tenant, policy: &TenantPolicy, id: TenantId, host: HostIndex) -> Option<Self> {
        let policy = &policy.policy;
        // What an endpoint says of itself goes before the networks that it is in.
        let has_members =
            |group: u32| tenant.groups.get(group as usize).is_some_and(|of| of.cidrs.is_empty());
        let first = |groups: &[weft_pipelines::policy::GroupId]| {
            let own = groups.iter().find(|group| has_members(group.0));
            own.or(groups.first()).map_or(0, |group| group.0 + 1)
        };
        let by_class: Box<[u32]> = policy.classes().map(first).collect();
        let local: BTreeSet<u32> = tenant
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.host == host)
            .flat_map(|endpoint| {
                let vni = tenant.segments[endpoint.segment.0].vni;
                endpoint.ips.iter().map(move |ip| policy.class(vni, *ip))
            })
            .map(|class| by_class.get(class as usize).copied().unwrap_or(0))
            .collect();
        // Whatever else there is in the world is in no group.
        let all = by_class.iter().copied().chain([0]).collect();
        (!local.is_empty()).then_some(Self { tenant, id, by_class, all, local })
    }

    fn can_be(&self, [client, server]: [u32; 2]) -> bool {
        let is = |group| self.all.contains(&group);
        is(client) && is(server) && (self.local.contains(&client) || self.local.contains(&server))
    }

    /// All pairs that can be, those first that rules name; some more than once.
    fn pairs(&self) -> impl Iterator<Item = [u32; 2]> {
        let number = |peer: Peer| match peer {
            Peer::Group(group) => Some(group.0 as u32 + 1),
            Peer::Any => None,
        };
        let rules = &self.tenant.policy.rules;
        let named = rules.iter().filter_map(move |rule| Some([number(rule.from)?, number(rule.to)?]));
        let pairs = self
            .local
            .iter()
            .flat_map(|local| self.all.iter().flat_map(move |other| [[*local, *other], [*other, *local]]));
        named.chain(pairs).filter(|pair| self.can_be(*pair))
    }

    fn name(&self, group: u32) -> Option<&str> {
        let group = (group as usize).checked_sub(1)?;
        self.tenant.groups.get(group).map(|group| &*group.name)
    }

    fn key(&self, pair: Option<[u32; 2]>) -> Key {
        let names = pair.map(|pair| pair.map(|group| self.name(group).map(str::to_owned)));
        (self.tenant.name.to_string(), names)
    }

    fn label(&self, pair: Option<[u32; 2]>) -> ServiceLabel {
        let names = pair.map(|pair| pair.map(|group| self.name(group).unwrap_or(NO_GROUP)));
        let [client, server] = names.unwrap_or([OTHER; 2]).map(str::to_owned);
        ServiceLabel { tenant: self.id, client, server }
    }
}
