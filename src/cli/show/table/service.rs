//! How services do, and how long packets take in the switch.

use super::{Columns, left, right};
use crate::report::text::quantiles;
use crate::report::{LatencyReport, ServiceReport};

/// Pairs of groups: what came of connections, and of DNS queries where there were some.
pub(in crate::cli) fn services(services: &[ServiceReport]) -> String {
    let mut connections = Columns::new([
        left("TENANT"),
        left("CLIENT"),
        left("SERVER"),
        right("OK"),
        right("REFUSED"),
        right("TIMED-OUT"),
        right("DENIED"),
        right("RESET"),
        right("CONNECT"),
        right("RTT-CLIENT"),
        right("RTT-SERVER"),
        right("RESPONSE"),
    ]);
    let mut queries = Columns::new([
        left("TENANT"),
        left("CLIENT"),
        left("SERVER"),
        right("DNS"),
        right("OK"),
        right("NXDOMAIN"),
        right("FAILED"),
        right("UNANSWERED"),
        right("TIME"),
    ]);
    let (mut has_connections, mut has_queries) = (false, false);
    for of in services {
        let names = || [&of.tenant, &of.client, &of.server].map(String::clone);
        let [tenant, client, server] = names();
        let (made, dns) = (&of.connections, &of.dns);
        let times = [&of.connect, &of.client_rtt, &of.server_rtt, &of.response];
        let counts = [made.ok, made.refused, made.timed_out, made.denied, made.reset];
        if of.has_connections() {
            has_connections = true;
            let [ok, refused, timed_out, denied, reset] = counts.map(|count| count.to_string());
            let [connect, from, to, response] = times.map(|times| quantiles(times.quantiles()));
            connections.row([
                tenant, client, server, ok, refused, timed_out, denied, reset, connect, from, to, response,
            ]);
        }
        if of.has_queries() {
            has_queries = true;
            let [tenant, client, server] = names();
            let [queries_, ok, nxdomain, failed, unanswered] =
                [dns.queries, dns.noerror, dns.nxdomain, dns.failed(), dns.unanswered]
                    .map(|count| count.to_string());
            queries.row([
                tenant,
                client,
                server,
                queries_,
                ok,
                nxdomain,
                failed,
                unanswered,
                quantiles(dns.time.quantiles()),
            ]);
        }
    }
    match (has_connections, has_queries) {
        (false, false) => "no connection and no DNS query has been seen\n".to_owned(),
        (true, false) => connections.or("") + LEGEND,
        (false, true) => queries.or("") + LEGEND,
        (true, true) => connections.or("") + "\n" + &queries.or("") + LEGEND,
    }
}

const LEGEND: &str = "times are p50/p95/p99\n";

/// How long bursts were in each worker.
pub(in crate::cli) fn latency(workers: &[LatencyReport]) -> String {
    let mut table = Columns::new([
        right("WORKER"),
        right("SAMPLES"),
        right("P50-US"),
        right("P90-US"),
        right("P99-US"),
        right("P99.9-US"),
        right("MAX-US"),
    ]);
    let micros = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| format!("{:.1}", ns as f64 / 1e3));
    for LatencyReport { worker, time } in workers {
        table.row([
            worker.to_string(),
            time.samples.to_string(),
            micros(time.p50_ns),
            micros(time.p90_ns),
            micros(time.p99_ns),
            micros(time.p999_ns),
            micros(time.max_ns),
        ]);
    }
    table.or("no workers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ConnectionsReport, DnsReport, TimesReport};

    fn times(samples: u64, ns: u64) -> TimesReport {
        let [p50, p90, p95, p99, p999, max] = [1, 2, 3, 4, 5, 6].map(|n| Some(n * ns));
        TimesReport {
            samples,
            mean_ns: p50,
            p50_ns: p50,
            p90_ns: p90,
            p95_ns: p95,
            p99_ns: p99,
            p999_ns: p999,
            max_ns: max,
        }
    }

    fn of(client: &str, server: &str) -> ServiceReport {
        let (client, server) = (client.to_owned(), server.to_owned());
        ServiceReport { tenant: "blue".into(), client, server, ..ServiceReport::default() }
    }

    #[test]
    fn services() {
        let connections = ConnectionsReport { ok: 120, refused: 3, timed_out: 2, denied: 17, reset: 1 };
        let web = ServiceReport {
            connections,
            connect: times(120, 40_100_000),
            client_rtt: times(900, 31_000),
            server_rtt: times(1_000, 40_000_000),
            response: times(110, 44_000_000),
            ..of("web", "db")
        };
        let only_denied = ServiceReport {
            connections: ConnectionsReport { denied: 4, ..ConnectionsReport::default() },
            ..of("-", "web")
        };
        let dns = DnsReport {
            queries: 12,
            noerror: 7,
            nxdomain: 2,
            servfail: 1,
            refused: 0,
            other: 1,
            unanswered: 1,
            time: times(11, 950_000),
        };
        let asks = ServiceReport { dns, ..of("web", "resolvers") };
        insta::assert_snapshot!(super::services(&[only_denied, web, asks]));
        assert_eq!(super::services(&[]), "no connection and no DNS query has been seen\n");
    }

    #[test]
    fn latency() {
        let workers = [
            LatencyReport { worker: 0, time: times(48_213, 3_400) },
            LatencyReport { worker: 1, time: TimesReport::default() },
        ];
        insta::assert_snapshot!(super::latency(&workers));
    }
}
