//! The fabric's document of a lab.

use std::fmt::Write;
use std::thread;

use super::policy::PolicySpec;
use super::spec::{HostSpec, LabSpec, Placed};
use crate::guest::{GuestKind, NetnsGuest};
use crate::underlay::{UPLINK_MTU, Wiring};

/// The document's text. What is between quotes is written by JSON's rules, which are YAML's too.
pub(super) fn write(spec: &LabSpec, placed: &[Placed], wiring: &Wiring) -> String {
    let sessions = spec.sessions.as_ref().map(|words| format!(", sessions: {words}")).unwrap_or_default();
    let qos = spec.qos.as_ref().map(|words| format!(", qos: {words}")).unwrap_or_default();
    let dscp = spec.dscp.as_ref().map(|how| format!(", dscp: {how}")).unwrap_or_default();
    let vxlan = format!("{{ port: {}{dscp} }}", spec.vxlan_port);
    let mut text = format!("fabric: {{ name: lab, vxlan: {vxlan}{sessions}{qos} }}\nhosts:\n");
    for (index, host) in spec.hosts.iter().enumerate() {
        text += &host_entry(index, host, wiring);
    }
    text += "tenants:\n";
    for tenant in &spec.tenants {
        line(&mut text, format_args!("  - name: {}", tenant.name));
        line(&mut text, format_args!("    segments:"));
        for segment in &tenant.segments {
            let gateway = segment.gateway.as_ref().map(|gateway| format!(", gateway: [{}]", quoted(gateway)));
            let (name, vni) = (&segment.name, segment.vni);
            let subnets: Vec<String> = segment.subnets.iter().map(|subnet| quoted(subnet)).collect();
            let subnet = subnets.join(", ");
            let gateway = gateway.unwrap_or_default();
            line(
                &mut text,
                format_args!("      - {{ name: {name}, vni: {vni}, subnet: [{subnet}]{gateway} }}"),
            );
        }
        let own =
            placed.iter().filter(|guest| guest.spec.name.split('/').next() == Some(tenant.name.as_str()));
        let groups = spec.groups(&tenant.name);
        if !groups.is_empty() {
            line(&mut text, format_args!("    groups:"));
        }
        for group in groups {
            line(&mut text, format_args!("      - {{ name: {group} }}"));
        }
        line(&mut text, format_args!("    endpoints:"));
        own.for_each(|guest| text += &endpoint_entry(guest, spec));
        let policy = tenant.policy.iter().flat_map(PolicySpec::lines);
        let words = tenant.yaml.iter().flat_map(|yaml| yaml.lines()).map(str::to_owned);
        policy.chain(words).for_each(|words| line(&mut text, format_args!("    {words}")));
    }
    text
}

fn host_entry(index: usize, host: &HostSpec, wiring: &Wiring) -> String {
    let mut text = format!("  - name: {}\n    vtep: {}\n", host.name, quoted(&host.vtep.to_string()));
    if host.is_peer {
        return text;
    }
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let cores = host.cores.clone().unwrap_or_else(|| vec![(index % processors) as u32]);
    line(&mut text, format_args!("    workers: {{ cores: {cores:?}, poll: adaptive }}"));
    line(&mut text, format_args!("    memory: {{ size: 128MiB, hugepages: off }}"));
    if let Some(uplink) = wiring.uplink(&host.name) {
        let (device, address) = (quoted(&uplink.device), quoted(&format!("{}/24", host.vtep)));
        let rate = host.uplink_rate.as_ref().map(|rate| format!(", rate: {rate}")).unwrap_or_default();
        line(&mut text, format_args!("    uplinks:"));
        let entry = format_args!(
            "      - {{ name: up0, device: {device}, address: [{address}], mtu: {UPLINK_MTU}{rate} }}"
        );
        line(&mut text, entry);
    }
    text
}

fn endpoint_entry(guest: &Placed, spec: &LabSpec) -> String {
    let on_switch = spec.switches().any(|host| host.name == guest.spec.host);
    let attach = match guest.spec.kind {
        GuestKind::Netns if on_switch => {
            format!("device: {}", quoted(&NetnsGuest::device(guest.index, &guest.wire())))
        }
        // On a peer nobody reads it.
        _ if guest.spec.queues > 1 => {
            format!("vhost-user: {}, queues: {}", guest.socket(), guest.spec.queues)
        }
        _ => format!("vhost-user: {}", guest.socket()),
    };
    let name = guest.spec.name.split('/').next_back().unwrap_or_default();
    let (host, segment, mac) = (&guest.spec.host, &guest.spec.segment, quoted(&guest.mac));
    let addresses = [&guest.spec.ip].into_iter().chain(&guest.spec.also);
    let ip = addresses.map(|ip| quoted(ip)).collect::<Vec<_>>().join(", ");
    let groups = if guest.spec.groups.is_empty() {
        String::new()
    } else {
        format!(", groups: [{}]", guest.spec.groups.join(", "))
    };
    let sessions =
        guest.spec.sessions.as_ref().map(|words| format!(", sessions: {words}")).unwrap_or_default();
    let qos = guest.spec.qos.as_ref().map(|words| format!(", qos: {words}")).unwrap_or_default();
    format!(
        "      - {{ name: {name}, host: {host}, attach: {{ {attach} }}, segment: {segment}, mac: {mac}, ip: [{ip}]{groups}{sessions}{qos} }}\n"
    )
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{words}");
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::write;
    use crate::{GuestKind, GuestSpec, HostSpec, LabSpec, PolicySpec, Underlay, WorkDir};

    #[test]
    fn a_document_says_all_that_the_description_does() {
        let spec = LabSpec::new(Underlay::Vhost)
            .host(HostSpec::new("hv-a", "198.51.100.1").cores(&[1]))
            .host(HostSpec::new("hv-b", "198.51.100.2").cores(&[0]))
            .segment("blue", "front", 1001, "10.1.0.0/24")
            .subnet("blue", "fd00:1::/64")
            .sessions("{ tcp: liberal }")
            .policy(
                "blue",
                PolicySpec::deny_all().allow("web-to-db", "web", "db", &["tcp/5432", "icmp"]).audit_rule(),
            )
            .document("blue", "sessions: { max: 1000 }")
            .with(GuestSpec::new("blue/web1", "front", "hv-a", "10.1.0.11", GuestKind::Qemu).groups(&["web"]))
            .with(
                GuestSpec::new("blue/db1", "front", "hv-b", "10.1.0.12", GuestKind::Netns)
                    .also("fd00:1::12")
                    .groups(&["db", "all"]),
            );
        let dir = WorkDir::new().unwrap();
        let wiring = Underlay::Vhost.join(&dir, &["hv-a", "hv-b"]).unwrap();
        let text =
            write(&spec, &spec.placed().unwrap(), &wiring).replace(&dir.path().display().to_string(), "DIR");
        let expected = r#"fabric: { name: lab, vxlan: { port: 4789 }, sessions: { tcp: liberal } }
hosts:
  - name: hv-a
    vtep: "198.51.100.1"
    workers: { cores: [1], poll: adaptive }
    memory: { size: 128MiB, hugepages: off }
    uplinks:
      - { name: up0, device: "net_vhost_up0,iface=DIR/underlay.sock,client=1", address: ["198.51.100.1/24"], mtu: 1600 }
  - name: hv-b
    vtep: "198.51.100.2"
    workers: { cores: [0], poll: adaptive }
    memory: { size: 128MiB, hugepages: off }
    uplinks:
      - { name: up0, device: "net_virtio_user_up0,path=DIR/underlay.sock,server=1,mac=02:00:00:00:ff:02", address: ["198.51.100.2/24"], mtu: 1600 }
tenants:
  - name: blue
    segments:
      - { name: front, vni: 1001, subnet: ["10.1.0.0/24", "fd00:1::/64"] }
    groups:
      - { name: all }
      - { name: db }
      - { name: web }
    endpoints:
      - { name: web1, host: hv-a, attach: { vhost-user: blue-web1.sock }, segment: front, mac: "02:00:00:00:00:01", ip: ["10.1.0.11"], groups: [web] }
      - { name: db1, host: hv-b, attach: { device: "net_af_xdp1,iface=g1" }, segment: front, mac: "02:00:00:00:00:02", ip: ["10.1.0.12", "fd00:1::12"], groups: [db, all] }
    policy:
      default: deny
      rules:
        - { name: web-to-db, from: web, to: db, allow: [tcp/5432, icmp], mode: audit }
    sessions: { max: 1000 }
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn a_guest_taken_away_leaves_the_others_as_they_were() {
        let spec = LabSpec::new(Underlay::None)
            .host(HostSpec::new("hv-a", "198.51.100.1"))
            .segment("blue", "front", 1001, "10.1.0.0/24")
            .guest("blue", "front", "web1", "hv-a", "10.1.0.11", GuestKind::Netns)
            .guest("blue", "front", "web2", "hv-a", "10.1.0.12", GuestKind::Netns);
        let text = |spec: &LabSpec| {
            let dir = WorkDir::new().unwrap();
            write(spec, &spec.placed().unwrap(), &Underlay::None.join(&dir, &[]).unwrap())
        };
        let (before, after) = (text(&spec), text(&spec.without("blue/web1")));
        let kept = before.lines().filter(|line| !line.contains("web1"));
        assert_eq!(kept.collect::<Vec<_>>(), after.lines().collect::<Vec<_>>());
    }

    #[test]
    fn a_description_that_contradicts_itself_is_refused() {
        let spec = LabSpec::new(Underlay::None)
            .host(HostSpec::new("hv-a", "198.51.100.1"))
            .segment("blue", "front", 1001, "10.1.0.0/24")
            .guest("blue", "front", "web1", "hv-a", "10.2.0.11", GuestKind::Qemu);
        assert!(spec.placed().unwrap_err().to_string().contains("no 10.2.0.11 in 10.1.0.0/24"));
    }
}
