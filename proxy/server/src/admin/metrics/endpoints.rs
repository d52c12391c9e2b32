//! What is known of endpoints, as Prometheus families: as many as the configuration names, so their
//! labels are bounded.

use super::families::{counter, family, gauge};
use crate::data_path::{DataPath, EndpointState};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Metric, MetricFamily, MetricType};
use std::collections::HashMap;

const COUNTER: MetricType = MetricType::COUNTER;
const GAUGE: MetricType = MetricType::GAUGE;

/// Name, help, kind: in the order of [`EndpointFamilies::collect`].
const FAMILIES: [(&str, &str, MetricType); 9] = [
    ("serinus_endpoint_up", "1 for an endpoint that nothing speaks against, else 0.", GAUGE),
    ("serinus_endpoint_ejections_total", "Times it was left out for failed requests.", COUNTER),
    ("serinus_endpoint_checks_total", "Health checks, by result.", COUNTER),
    ("serinus_endpoint_panic", "1 while too few endpoints are well, so that all are asked.", GAUGE),
    ("serinus_retries_total", "Requests asked of another endpoint of the variant.", COUNTER),
    ("serinus_refused_requests_total", "Requests turned away: every endpoint was full.", COUNTER),
    ("serinus_redirects_total", "Clients sent elsewhere.", COUNTER),
    ("serinus_mirrored_requests_total", "Copies that the canary answered.", COUNTER),
    ("serinus_mirrored_left_out_total", "Copies left out, or in vain.", COUNTER),
];

pub(super) struct EndpointFamilies {
    data_path: DataPath,
    descriptions: Vec<Desc>,
}

impl EndpointFamilies {
    pub(super) fn new(data_path: DataPath) -> prometheus::Result<Self> {
        let descriptions = FAMILIES.iter().map(|(name, help, _)| {
            Desc::new((*name).to_owned(), (*help).to_owned(), Vec::new(), HashMap::new())
        });
        Ok(EndpointFamilies { data_path, descriptions: descriptions.collect::<Result<_, _>>()? })
    }

    fn endpoints(&self) -> [Vec<Metric>; 3] {
        let [mut up, mut ejections, mut checks]: [Vec<Metric>; 3] = Default::default();
        for (service, endpoints) in self.data_path.endpoints() {
            for endpoint in endpoints {
                let address = endpoint.address.map(|address| address.to_string());
                let labels = [
                    ("service", &*service),
                    ("variant", endpoint.variant.as_str()),
                    ("endpoint", &*endpoint.endpoint),
                    ("address", address.as_deref().unwrap_or("")),
                ];
                let is_up =
                    matches!(endpoint.state, EndpointState::Healthy | EndpointState::SlowStart);
                up.push(gauge(&labels, if is_up { 1.0 } else { 0.0 }));
                ejections.push(counter(&labels, endpoint.ejections));
                let results =
                    [("passed", endpoint.checks_passed), ("failed", endpoint.checks_failed)];
                for (result, number) in results {
                    let labels = [labels[0], labels[1], labels[2], labels[3], ("result", result)];
                    checks.push(counter(&labels, number));
                }
            }
        }
        [up, ejections, checks]
    }

    fn services(&self) -> [Vec<Metric>; 3] {
        let [mut panic, mut retries, mut refused]: [Vec<Metric>; 3] = Default::default();
        for totals in self.data_path.service_totals() {
            let labels = [("service", &*totals.service), ("variant", totals.variant.as_str())];
            panic.push(gauge(&labels, if totals.panic { 1.0 } else { 0.0 }));
            retries.push(counter(&labels, totals.retries));
            refused.push(counter(&labels, totals.refused));
        }
        [panic, retries, refused]
    }

    fn redirects(&self) -> [Vec<Metric>; 1] {
        let redirects = self.data_path.redirects();
        [redirects.iter().map(|(route, number)| counter(&[("route", route)], *number)).collect()]
    }

    fn mirrored(&self) -> [Vec<Metric>; 2] {
        let mut families: [Vec<Metric>; 2] = Default::default();
        for (service, answered, left_out) in self.data_path.mirrored() {
            let labels = [("service", &*service)];
            families[0].push(counter(&labels, answered));
            families[1].push(counter(&labels, left_out));
        }
        families
    }
}

impl Collector for EndpointFamilies {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let metrics = self
            .endpoints()
            .into_iter()
            .chain(self.services())
            .chain(self.redirects())
            .chain(self.mirrored());
        let named = FAMILIES.iter().zip(metrics).filter(|(_, metrics)| !metrics.is_empty());
        named.map(|((name, help, kind), metrics)| family(name, help, *kind, metrics)).collect()
    }
}
