//! The ends of a connection, as people write them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use weft_pipelines::Vni;

use crate::config::checked::{Endpoint, Fabric, Group, Tenant};
use crate::config::suggest::{among, quoted};

/// An end as it is written, not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// `tenant/endpoint`.
    Endpoint(String, String),
    /// `tenant:group`.
    Group(String, String),
    /// An IP address.
    Address(IpAddr),
    /// Anything else: it may be a name without its tenant.
    Name(String),
}

impl FromStr for Written {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let parts = |(tenant, name): (&str, &str)| (tenant.to_owned(), name.to_owned());
        Ok(match (text.split_once('/').map(parts), text.split_once(':').map(parts)) {
            (Some((tenant, endpoint)), _) => Self::Endpoint(tenant, endpoint),
            (_, Some((tenant, group))) => Self::Group(tenant, group),
            _ => Self::Name(text.to_owned()),
        })
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(tenant, endpoint) => write!(f, "{tenant}/{endpoint}"),
            Self::Group(tenant, group) => write!(f, "{tenant}:{group}"),
            Self::Address(address) => address.fmt(f),
            Self::Name(text) => f.write_str(text),
        }
    }
}

/// An end that the fabric has: tenants, endpoints and groups by their places in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An endpoint of a tenant.
    Endpoint(usize, usize),
    /// A group of a tenant.
    Group(usize, usize),
    /// An address.
    Address(IpAddr),
}

impl Found {
    /// The tenant's place in the document; an address has none.
    pub const fn tenant(self) -> Option<usize> {
        match self {
            Self::Endpoint(tenant, _) | Self::Group(tenant, _) => Some(tenant),
            Self::Address(_) => None,
        }
    }
}

/// Looks up what is `written`.
///
/// # Errors
///
/// With what the fabric does not have, and what may have been meant.
pub fn find(fabric: &Fabric, written: &Written) -> Result<Found, String> {
    match written {
        Written::Address(address) => Ok(Found::Address(*address)),
        Written::Endpoint(tenant, endpoint) => {
            let (index, tenant) = find_tenant(fabric, tenant)?;
            let names = tenant.endpoints.iter().map(|endpoint| &*endpoint.name);
            let place = place(names, endpoint, || format!("tenant {} has no endpoint", tenant.name))?;
            Ok(Found::Endpoint(index, place))
        }
        Written::Group(tenant, group) => {
            let (index, tenant) = find_tenant(fabric, tenant)?;
            let names = tenant.groups.iter().map(|group| &*group.name);
            let place = place(names, group, || format!("tenant {} has no group", tenant.name))?;
            Ok(Found::Group(index, place))
        }
        Written::Name(text) => {
            Err(format!("{} is no end of a connection; {}", quoted(text), meant(fabric, text)))
        }
    }
}

fn find_tenant<'a>(fabric: &'a Fabric, name: &str) -> Result<(usize, &'a Tenant), String> {
    let names = fabric.tenants.iter().map(|tenant| &*tenant.name);
    let index = place(names, name, || "there is no tenant".to_owned())?;
    Ok((index, &fabric.tenants[index]))
}

/// The place of `name` among `names`; else what `lacks` says, with what there is.
fn place<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    name: &str,
    lacks: impl Fn() -> String,
) -> Result<usize, String> {
    let found = names.clone().position(|other| other == name);
    found.ok_or_else(|| format!("{} {}; {}", lacks(), quoted(name), among(name, names)))
}

/// What to say of a name without a tenant.
fn meant(fabric: &Fabric, text: &str) -> String {
    let endpoints = fabric.tenants.iter().flat_map(|tenant| {
        let has = tenant.endpoints.iter().any(|endpoint| endpoint.name == text);
        has.then(|| format!("{}/{text}", tenant.name))
    });
    let groups = fabric.tenants.iter().flat_map(|tenant| {
        let has = tenant.groups.iter().any(|group| group.name == text);
        has.then(|| format!("{}:{text}", tenant.name))
    });
    match endpoints.chain(groups).next() {
        Some(full) => format!("did you mean `{full}`?"),
        None => "write tenant/endpoint, tenant:group, or an IP address".to_owned(),
    }
}

/// The endpoint at these places.
pub fn endpoint(fabric: &Fabric, tenant: usize, endpoint: usize) -> &Endpoint {
    &fabric.tenants[tenant].endpoints[endpoint]
}

/// The group at these places.
pub fn group(fabric: &Fabric, tenant: usize, group: usize) -> &Group {
    &fabric.tenants[tenant].groups[group]
}

/// `tenant/endpoint`.
pub fn full_name(tenant: &Tenant, endpoint: &Endpoint) -> String {
    format!("{}/{}", tenant.name, endpoint.name)
}

/// `tenant/endpoint`, or an address that is none's.
pub fn name_at(tenant: &Tenant, vni: Vni, address: IpAddr) -> String {
    endpoint_at(tenant, vni, address).unwrap_or_else(|| address.to_string())
}

/// `tenant/endpoint`, if it is one's address.
pub fn endpoint_at(tenant: &Tenant, vni: Vni, address: IpAddr) -> Option<String> {
    let mut endpoints = tenant.endpoints.iter();
    let has = endpoints
        .find(|endpoint| tenant.segments[endpoint.segment.0].vni == vni && endpoint.ips.contains(&address));
    has.map(|endpoint| full_name(tenant, endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fabric() -> Fabric {
        crate::config::parse("lab", include_str!("../../examples/lab.yaml")).unwrap()
    }

    fn found(text: &str) -> Result<Found, String> {
        let Ok(written) = text.parse::<Written>();
        assert_eq!(written.to_string(), text);
        find(&fabric(), &written)
    }

    #[test]
    fn endpoints_groups_and_addresses_are_told_apart() {
        assert_eq!(found("blue/db1"), Ok(Found::Endpoint(0, 2)));
        assert_eq!(found("blue:office"), Ok(Found::Group(0, 2)));
        assert_eq!(found("10.1.0.11"), Ok(Found::Address([10, 1, 0, 11].into())));
        assert_eq!(found("fd00:1::11"), Ok(Found::Address("fd00:1::11".parse().unwrap())));
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        for (text, said) in [
            ("blu/web1", "there is no tenant `blu`; did you mean `blue`?"),
            ("blue/web3", "tenant blue has no endpoint `web3`; did you mean `web1`?"),
            ("red/storage", "tenant red has no endpoint `storage`; there are web1, web2"),
            ("blue:offise", "tenant blue has no group `offise`; did you mean `office`?"),
            ("red:web", "tenant red has no group `web`; there is none"),
            ("db1", "`db1` is no end of a connection; did you mean `blue/db1`?"),
            ("office", "`office` is no end of a connection; did you mean `blue:office`?"),
            ("x", "`x` is no end of a connection; write tenant/endpoint, tenant:group, or an IP address"),
        ] {
            assert_eq!(found(text), Err(said.to_owned()));
        }
    }
}
