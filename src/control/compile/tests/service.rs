//! Pairs of groups, and their rows.

use super::policy::with_rules;
use super::*;

/// What rows are called, by row: tenant, client, server.
fn services(compiled: &Compiled) -> Vec<String> {
    let label = |label: &Option<ServiceLabel>| match label {
        Some(ServiceLabel { tenant, client, server }) => format!("{} {client} {server}", tenant.0),
        None => "gone".into(),
    };
    compiled.labels.services.iter().map(label).collect()
}

#[test]
fn pairs_of_groups_that_can_be_have_rows_and_keep_them() {
    let before = with_rules(|document| document);
    let first = compile(&before, HostIndex(0), &MACS, 2, Epoch(1), None).unwrap();
    let mut rows = services(&first);
    assert_eq!(rows.len(), first.snapshot.sizes().pairs);
    // web is here and out is a network; red's only endpoint has no group.
    let row = |compiled: &Compiled, tenant: usize, ips: [&str; 2]| {
        let (vni, policy) = (Vni::new([1001, 2001][tenant]).unwrap(), &compiled.snapshot.policies[tenant]);
        let classes = ips.map(|ip| policy.class(vni, ip.parse().unwrap()));
        compiled.snapshot.service.find(TenantId(tenant as u16), classes).index()
    };
    for (tenant, ips, name) in [
        (0, ["10.1.0.1", "10.1.0.3"], "0 web -"),
        (0, ["2001:db8::1", "10.1.0.1"], "0 web web"),
        (0, ["192.0.2.7", "10.1.0.1"], "0 out web"),
        (0, ["8.8.8.8", "10.1.0.1"], "0 - web"),
        (1, ["10.1.0.1", "8.8.8.8"], "1 - -"),
        // Neither is here: that there is none of its own says nothing.
        (0, ["192.0.2.7", "8.8.8.8"], "0 * *"),
    ] {
        assert_eq!(rows[row(&first, tenant, ips)], name);
    }
    rows.sort();
    assert_eq!(
        rows,
        ["0 * *", "0 - web", "0 out web", "0 web -", "0 web out", "0 web web", "1 * *", "1 - -"]
    );
    // A group comes before those that there are, and one goes.
    let other =
        |document: String| document.replace("{ name: out, cidr", "{ name: far, id: 9 }, { name: world, cidr");
    let after = with_rules(|document| other(document).replace("from: out", "from: world"));
    let second = next(&after, (&before, &first));
    let (old, new) = (services(&first), services(&second));
    for (row, name) in old.iter().enumerate() {
        assert_eq!(&new[row], if name.contains("out") { "gone" } else { name });
    }
    let mut more = new[old.len()..].to_vec();
    more.sort();
    assert_eq!(more, ["0 web world", "0 world web"]);
}

#[test]
fn pairs_have_rows_up_to_a_bound_and_those_of_rules_first() {
    let mut before = with_rules(|document| document);
    let tenant = &mut before.tenants[0];
    let group = tenant.groups[0].clone();
    for n in 0..60 {
        tenant.groups.push(checked::Group {
            name: format!("g{n}").parse().unwrap(),
            id: None,
            ..group.clone()
        });
        let mut endpoint = tenant.endpoints[0].clone();
        endpoint.name = format!("e{n}").parse().unwrap();
        endpoint.attach = Attach::Device(format!("net_null{}", 10 + n));
        endpoint.mac = Mac([2, 0, 0, 0, 2, n]);
        endpoint.ips = vec![format!("10.1.0.{}", 100 + n).parse().unwrap()];
        endpoint.groups = vec![checked::GroupIndex(tenant.groups.len() - 1)];
        tenant.endpoints.push(endpoint);
    }
    let (last, web) = (tenant.groups.len() - 1, 0);
    let pair = |client, server| checked::Rule {
        name: "named".parse().unwrap(),
        from: checked::Peer::Group(checked::GroupIndex(client)),
        to: checked::Peer::Group(checked::GroupIndex(server)),
        ..tenant.policy.rules[0].clone()
    };
    tenant.policy.rules = vec![pair(last, web)];
    let first = compile(&before, HostIndex(0), &MACS, 2, Epoch(1), None).unwrap();
    let rows = services(&first);
    // One more for each tenant, and both tenants have had their turns.
    assert_eq!(rows.len(), MOST_PAIRS + 2);
    assert!(rows.contains(&"0 g59 web".to_owned()) && rows.contains(&"1 - -".to_owned()));
    // All are given: what comes later is one of the others.
    let mut after = before.clone();
    after.tenants[0].groups[last].name = "late".parse().unwrap();
    let second = next(&after, (&before, &first));
    assert_eq!(services(&second).len(), rows.len());
    assert!(!services(&second).iter().any(|name| name.contains("late") || name.contains("g59")));
    let class = second.snapshot.policies[0].class(Vni::new(1001).unwrap(), "10.1.0.159".parse().unwrap());
    assert_eq!(services(&second)[second.snapshot.service.find(TenantId(0), [class, class]).index()], "0 * *");
}
