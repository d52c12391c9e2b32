//! What the proxy says of the rollout, read from its admin API.

use super::client::Client;
use super::stage::SERVICE;
use anyhow::Context;
use http::Method;
use serde::Deserialize;
use serde_json::Value;

/// The fields of `GET /api/v1/services/NAME` that are shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) phase: String,
    pub(super) stage: usize,
    pub(super) stages: usize,
    /// Percent of users on the canary.
    pub(super) weight: f64,
    pub(super) anomaly_score: f64,
    pub(super) failure_probability: Option<f64>,
    pub(super) withdrawn: bool,
    pub(super) verdict: String,
    pub(super) reasons: Vec<Reason>,
    pub(super) thresholds: Thresholds,
}

/// What the score and the forecast are held against.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Thresholds {
    pub(super) anomaly: f64,
    pub(super) rollback: f64,
}

/// Why the proxy does what it does.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reason {
    pub(super) text: String,
}

/// One entry of `GET /api/v1/events`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    /// Names the decision in `GET /api/v1/decisions/ID`.
    pub(super) id: u64,
    /// Milliseconds since the Unix epoch.
    pub(super) at: u64,
    pub(super) kind: String,
    pub(super) service: Option<String>,
    /// What happened, in one line.
    pub(super) headline: String,
}

/// Keeps the newest status and all events.
pub(super) struct Watcher {
    admin: Client,
    pub(super) status: Status,
    pub(super) events: Vec<Event>,
    /// Failed canary requests that were repeated on stable.
    pub(super) shielded: u64,
}

impl Watcher {
    pub(super) fn new(admin: Client) -> Self {
        Watcher { admin, status: Status::default(), events: Vec::new(), shielded: 0 }
    }

    /// Reads all of it anew; returns how many events are new.
    ///
    /// # Errors
    /// The API does not answer, or not in its format.
    pub(super) async fn look(&mut self) -> anyhow::Result<usize> {
        let status = self.admin.get(&format!("/api/v1/services/{SERVICE}")).await?;
        self.status = serde_json::from_value(status)?;
        let events: Vec<Event> = serde_json::from_value(self.admin.get("/api/v1/events").await?)?;
        let known = self.events.len();
        let ours = |event: &Event| event.service.as_deref().is_none_or(|name| name == SERVICE);
        self.events = events.into_iter().filter(ours).collect();
        self.events.sort_by_key(|event| event.at);
        let (_, metrics) = self.admin.send(Method::GET, "/metrics", &Value::Null).await?;
        self.shielded = total(&metrics, "serinus_shielded_requests_total{");
        Ok(self.events.len().saturating_sub(known))
    }

    /// The first event of a kind.
    pub(super) fn first(&self, kind: &str) -> Option<&Event> {
        self.events.iter().find(|event| event.kind == kind)
    }

    /// What a decision rested on, in plain words.
    ///
    /// # Errors
    /// There is no such decision, or the API does not answer.
    pub(super) async fn explanation(&self, id: u64) -> anyhow::Result<String> {
        let decision = self.admin.get(&format!("/api/v1/decisions/{id}")).await?;
        Ok(decision["explanation"].as_str().context("the decision has no explanation")?.to_owned())
    }
}

/// The sum of a counter over its labels.
fn total(metrics: &str, prefix: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(prefix));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_summed_over_its_labels_and_nothing_else() {
        let page =
            "# HELP a_total x\na_total{s=\"x\"} 3\na_total{s=\"y z\"} 4\nb_total{s=\"x\"} 9\n";
        assert_eq!(total(page, "a_total{"), 7);
        assert_eq!(total(page, "c_total{"), 0);
    }
}
