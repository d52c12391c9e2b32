//! `serinus status`, and the commands that change a rollout.

use super::admin_client::{AdminClient, Whom, segment};
use crate::data_path::{EndpointState, EndpointStatus};
use crate::explain::resources::used;
use crate::explain::words::{latency, percent};
use anyhow::bail;
use clap::Args;
use serde_json::Value;
use serinus_config::UNVERSIONED;
use serinus_rollout::{Command, Phase, ServiceStatus};
use std::fmt::Write;
use std::process::ExitCode;

/// A service of a running proxy.
#[derive(Debug, Args)]
pub(super) struct OperateArguments {
    /// The service; may be left out where there is only one with a canary.
    service: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

/// An endpoint of a running proxy.
#[derive(Debug, Args)]
pub(super) struct EndpointArguments {
    /// The service.
    service: String,
    /// The endpoint as it is configured, or one of the addresses of its name.
    address: String,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// Of this service only.
    service: Option<String>,
    /// As the API gives it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn status(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let client = arguments.whom.client()?;
    let services: Value = match &arguments.service {
        None => client.get("/api/v1/services")?,
        Some(name) => {
            Value::Array(vec![client.get(&format!("/api/v1/services/{}", segment(name)))?])
        }
    };
    if arguments.json {
        println!("{services:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let services: Vec<Value> = serde_json::from_value(services)?;
    let proxy: Value = client.get("/api/v1/proxy")?;
    for trouble in proxy["troubles"].as_array().into_iter().flatten() {
        println!("! {}", trouble.as_str().unwrap_or_default());
    }
    for service in services {
        print!("{}", describe_with_endpoints(service)?);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn endpoint(arguments: &EndpointArguments, verb: &str) -> anyhow::Result<ExitCode> {
    let (service, address) = (segment(&arguments.service), segment(&arguments.address));
    let path = format!("/api/v1/services/{service}/endpoints/{address}/{verb}");
    let answer = arguments.whom.client()?.post(&path)?;
    print!("{}", describe_with_endpoints(answer)?);
    Ok(ExitCode::SUCCESS)
}

/// A service as the API gives it, with a line for every endpoint that is not simply well.
fn describe_with_endpoints(service: Value) -> anyhow::Result<String> {
    let endpoints: Vec<EndpointStatus> = match &service["endpoints"] {
        Value::Null => Vec::new(),
        endpoints => serde_json::from_value(endpoints.clone())?,
    };
    let mut text = describe(&serde_json::from_value(service)?);
    for endpoint in endpoints.iter().filter(|one| one.state != EndpointState::Healthy) {
        let state = endpoint.state.as_str().replace('_', " ");
        let _ = write!(text, "  endpoint {} ({}): {state}", endpoint.endpoint, endpoint.variant);
        if let Some(why) = &endpoint.why {
            let _ = write!(text, ", {why}");
        }
        let is_well = matches!(endpoint.state, EndpointState::SlowStart);
        if endpoint.asked && !is_well {
            text += "; asked all the same, since too few are well";
        }
        text.push('\n');
    }
    Ok(text)
}

pub(super) fn command(arguments: &OperateArguments, command: Command) -> anyhow::Result<ExitCode> {
    let client = arguments.whom.client()?;
    let name = match &arguments.service {
        Some(name) => name.clone(),
        None => the_only_one(&client)?,
    };
    let answer =
        client.post(&format!("/api/v1/services/{}/{}", segment(&name), command.as_str()))?;
    print!("{}", describe(&serde_json::from_value(answer)?));
    Ok(ExitCode::SUCCESS)
}

fn the_only_one(client: &AdminClient) -> anyhow::Result<String> {
    let services: Vec<ServiceStatus> = client.get("/api/v1/services")?;
    let names: Vec<&str> =
        services.iter().filter(|service| service.canary.is_some()).map(|s| &*s.name).collect();
    match names[..] {
        [name] => Ok(name.to_owned()),
        [] => {
            bail!("no service has a canary: name one under [service.NAME.canary] and send SIGHUP")
        }
        _ => bail!("which service? One of: {}", names.join(", ")),
    }
}

/// A version that somebody named: without a canary it need not have one.
pub(super) fn named(version: &str) -> Option<&str> {
    (version != UNVERSIONED).then_some(version)
}

/// A few lines for a person.
pub(super) fn describe(service: &ServiceStatus) -> String {
    let mut text = format!("{}: ", service.name);
    let stable = &service.stable.version;
    let Some(canary) = &service.canary else {
        let version = named(stable).map(|version| format!(" to version {version}"));
        return text + &format!("plain proxy{}, no canary\n", version.unwrap_or_default());
    };
    let phase = match (service.withdrawn, service.phase) {
        (true, _) => "users withdrawn",
        (_, Phase::RolledBack) => "rolled back",
        (_, phase) => phase.as_str(),
    };
    let observe = if service.observe { " (observe mode: nothing is changed)" } else { "" };
    let _ = writeln!(
        text,
        "{phase}{observe}, stage {} of {}, {} of users on canary {} beside stable {stable}",
        service.stage + 1,
        service.stages,
        service.weight,
        canary.version
    );
    let forecast = service
        .failure_probability
        .map_or(String::new(), |p| format!(", forecast that it lasts {}", percent(p)));
    let verdict = service.verdict.as_str().replace('_', " ");
    let _ = writeln!(
        text,
        "  verdict: {verdict}; confidence that the canary is worse {}{forecast}",
        percent(service.anomaly_score)
    );
    for reason in &service.reasons {
        let _ = writeln!(text, "  - {}", reason.text);
    }
    if let Some(evaluation) = &service.evaluation {
        for (name, outcomes, quantiles) in [
            ("stable", &evaluation.recent.stable, &evaluation.latency.stable),
            ("canary", &evaluation.recent.canary, &evaluation.latency.canary),
        ] {
            let total = outcomes.total();
            let failed = outcomes.failures() as f64 / total.max(1) as f64;
            let _ = writeln!(
                text,
                "  {name}: {total} requests in the last minute, {} failed, p50 {}, p99 {}",
                percent(failed),
                latency(quantiles.p50),
                latency(quantiles.p99)
            );
        }
        for (name, levels) in
            [("stable", &evaluation.resources.stable), ("canary", &evaluation.resources.canary)]
        {
            if let Some(used) = used(levels) {
                let _ = writeln!(text, "  {name} uses {used}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain_proxy(version: &str, endpoints: Value) -> Value {
        json!({
            "name": "shop", "phase": "idle", "stage": 0, "stages": 4, "weight": 0,
            "stable": { "version": version }, "canary": null, "anomaly_score": 0, "withdrawn": false,
            "failure_probability": null, "verdict": "insufficient_evidence", "reasons": [],
            "observe": false, "evaluation": null, "last_label": null, "endpoints": endpoints,
        })
    }

    #[test]
    fn a_version_that_nobody_named_is_not_shown() {
        for (version, told) in [
            (UNVERSIONED, "shop: plain proxy, no canary\n"),
            ("1.8", "shop: plain proxy to version 1.8, no canary\n"),
        ] {
            let text = describe_with_endpoints(plain_proxy(version, json!([]))).unwrap();
            assert_eq!(text, told);
        }
    }

    #[test]
    fn endpoints_that_are_not_well_are_told() {
        let endpoint = |address: &str, state: &str, asked: bool, why: Value| {
            json!({
                "variant": "stable", "endpoint": address, "address": null, "weight": 1,
                "state": state, "asked": asked, "active": null, "ejections": 0,
                "checks_passed": 0, "checks_failed": 1, "why": why,
            })
        };
        let endpoints = json!([
            endpoint("a:1", "healthy", true, Value::Null),
            endpoint("b:1", "unhealthy", true, json!("answered 500")),
            endpoint("c:1", "draining", false, Value::Null),
        ]);
        let text = describe_with_endpoints(plain_proxy("1", endpoints)).unwrap();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "  endpoint b:1 (stable): unhealthy, answered 500; asked all the same, since too few are well",
                "  endpoint c:1 (stable): draining",
            ]
        );
    }
}
