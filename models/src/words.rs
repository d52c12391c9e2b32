//! Reasons in an operator's words, with figures.

use crate::baseline::BaselineProfile;
use crate::evaluate::{is_no_worse, is_slow_too};
use crate::evaluation::{Event, EventEvidence, Reason};
use crate::evidence::{CanaryEvidence, Suspicion};
use crate::features::in_words;
use crate::predictor::Forecast;
use crate::settings::EvaluationSettings;
use std::time::Duration;

/// "41 of 52 (79%)".
fn share(hits: u64, trials: u64) -> String {
    if trials == 0 {
        return "none seen".to_owned();
    }
    format!("{hits} of {trials} ({})", percent(hits as f64 / trials as f64))
}

/// Two digits that mean something: 79%, 4.2%, 0.41%.
fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    match percent {
        _ if percent == 0.0 => "0%".to_owned(),
        _ if percent >= 10.0 => format!("{percent:.0}%"),
        _ if percent >= 1.0 => format!("{percent:.1}%"),
        _ => format!("{percent:.2}%"),
    }
}

fn seconds(duration: Duration) -> String {
    match duration.as_secs_f64() {
        short if short < 120.0 => format!("{short:.0} s"),
        long => format!("{:.0} min", long / 60.0),
    }
}

/// "canary failed 41 of 52 (79%) requests on shop while stable failed 2 of 480 (0.42%)".
pub(crate) fn event(evidence: &EventEvidence) -> String {
    let canary = share(evidence.hits.canary, evidence.trials.canary);
    let stable = share(evidence.hits.stable, evidence.trials.stable);
    let stream = &evidence.stream;
    match slower_than(evidence.event) {
        Some(quantile) => format!(
            "{canary} requests of the canary on {stream} took longer than stable's usual {quantile} with its margin, against {stable} of stable's"
        ),
        None => match evidence.event {
            Event::ClientError => format!(
                "canary answered {canary} requests on {stream} with 4xx while stable answered {stable} so"
            ),
            Event::ProbeFailure => format!(
                "probe {stream} failed in {canary} rounds on the canary and in {stable} on stable, at the same times"
            ),
            Event::ProbeMuchSlower => format!(
                "probe {stream} was beyond stable's usual 99th percentile in {canary} rounds on the canary and in {stable} on stable, at the same times"
            ),
            Event::ProbeSlower => format!(
                "probe {stream} was slow in {canary} rounds on the canary and in {stable} on stable, at the same times"
            ),
            _ => {
                format!("canary failed {canary} requests on {stream} while stable failed {stable}")
            }
        },
    }
}

fn slower_than(event: Event) -> Option<&'static str> {
    match event {
        Event::SlowerThanP50 => Some("median"),
        Event::SlowerThanP75 => Some("75th percentile"),
        Event::SlowerThanP90 => Some("90th percentile"),
        Event::SlowerThanP99 => Some("99th percentile"),
        Event::SlowerThanP999 => Some("99.9th percentile"),
        Event::MuchSlower => Some("99th percentile times two"),
        _ => None,
    }
}

pub(crate) fn anomaly(suspicion: &Suspicion) -> Reason {
    let text = match &suspicion.fired {
        Some(fired) => format!("{} ({} ago)", event(fired), seconds(suspicion.since_alarm)),
        None => "users were off the canary before the restart, so probes must show that it works"
            .to_owned(),
    };
    Reason::new("anomaly", text)
}

/// What came after the alarm.
fn since(suspicion: &Suspicion) -> String {
    let (seen, bad) = suspicion.since;
    if seen == 0 {
        return "since the alarm nothing was seen of the canary yet".to_owned();
    }
    format!("since the alarm {} observations of the canary were bad", share(bad, seen))
}

/// The features that pull the forecast most in one direction (1 up, -1 down).
fn pulls(forecast: &Forecast, direction: f64) -> String {
    let mut order: Vec<(usize, f64)> = forecast
        .contributions
        .iter()
        .enumerate()
        .map(|(index, contribution)| (index, contribution * direction))
        .filter(|(_, pull)| *pull > 0.0)
        .collect();
    order.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let named: Vec<&str> = order.iter().take(3).map(|(index, _)| in_words(*index)).collect();
    if named.is_empty() { "the usual course of such failures".to_owned() } else { named.join(", ") }
}

pub(crate) fn forecast_lasting(forecast: &Forecast, suspicion: &Suspicion) -> Reason {
    let text = format!(
        "it will last with probability {} by the forecast, most of all for {}; {}",
        percent(forecast.probability),
        pulls(forecast, 1.0),
        since(suspicion)
    );
    Reason::new("forecast_lasting", text)
}

/// Why a forecast above the threshold is no rollback yet.
fn waits(suspicion: &Suspicion) -> String {
    let (wait, why) = suspicion.waits;
    if suspicion.since_alarm < wait {
        format!("no rollback before {} s after the alarm, since {why}", wait.as_secs())
    } else {
        "it waits until the failure shows again".to_owned()
    }
}

pub(crate) fn forecast_pending(
    forecast: &Forecast,
    settings: &EvaluationSettings,
    suspicion: &Suspicion,
) -> Reason {
    let probability = percent(forecast.probability);
    let (code, text) = if forecast.probability > settings.rollback_threshold {
        (
            "forecast_lasting",
            format!(
                "it will last with probability {probability} by the forecast; {}; {}",
                waits(suspicion),
                since(suspicion)
            ),
        )
    } else if forecast.probability < settings.resume_threshold {
        (
            "forecast_passing",
            format!(
                "it will last with probability {probability} only by the forecast, most of all for {}; users return once it is clear that it is gone; {}",
                pulls(forecast, -1.0),
                since(suspicion)
            ),
        )
    } else {
        (
            "forecast_open",
            format!(
                "it will last with probability {probability} by the forecast: between {} (users return) and {} (rollback); {}",
                percent(settings.resume_threshold),
                percent(settings.rollback_threshold),
                since(suspicion)
            ),
        )
    };
    Reason::new(code, text)
}

pub(crate) fn detector_only(e_value: f64, suspicion: &Suspicion) -> Reason {
    let text = format!(
        "there is no model to forecast with, and the evidence alone (e-value {e_value:.2e}) passes the stricter limit for that case; {}",
        since(suspicion)
    );
    Reason::new("detector_only", text)
}

pub(crate) fn cleared(suspicion: &Suspicion) -> Reason {
    let text = format!("the canary is no worse than stable any more; {}", since(suspicion));
    Reason::new("cleared", text)
}

pub(crate) fn shared_fault(canary: &CanaryEvidence, baseline: &BaselineProfile) -> Reason {
    let fired = canary.suspicion.as_ref().and_then(|suspicion| suspicion.fired.as_ref());
    if let Some(fired) = fired.filter(|_| is_no_worse(canary)) {
        let text = format!(
            "stable had it too when it was last seen: {} of its requests against {} of the canary's; nothing is decided on a fault that both share",
            share(fired.hits.stable, fired.trials.stable),
            share(fired.hits.canary, fired.trials.canary),
        );
        return Reason::new("shared_fault", text);
    }
    if is_slow_too(canary) {
        let text = format!(
            "stable is slow too: {} of its requests in the last 10 s took longer than nine in ten usually do; of the canary's {}; nothing is decided on what slows both",
            share(canary.slow_lately.stable.1, canary.slow_lately.stable.0),
            share(canary.slow_lately.canary.1, canary.slow_lately.canary.0),
        );
        return Reason::new("shared_fault", text);
    }
    if canary.shared_ago.is_some() && canary.lately.stable.1 < 3 {
        let text = "stable had the same trouble until less than a minute ago; nothing is decided on what is left of it";
        return Reason::new("shared_fault", text);
    }
    let text = format!(
        "stable fails too: {} in the last 10 s, usually {}; the canary {}; nothing is decided on a fault that both share",
        share(canary.lately.stable.1, canary.lately.stable.0),
        baseline.failures.mean().map_or_else(|| "unknown".to_owned(), percent),
        share(canary.lately.canary.1, canary.lately.canary.0),
    );
    Reason::new("shared_fault", text)
}

pub(crate) fn warm_up(age: Duration) -> Reason {
    Reason::new(
        "warm_up",
        format!("the canary has been up for {} only and may be warming up", seconds(age)),
    )
}

pub(crate) fn no_traffic(canary: &CanaryEvidence, settings: &EvaluationSettings) -> Reason {
    let text = format!(
        "{} of the {} observations of the canary that this stage needs, {} in the last minute",
        canary.seen_in_stage,
        settings.min_requests,
        canary.recent.canary.total()
    );
    Reason::new("no_traffic", text)
}

pub(crate) fn no_telemetry(canary: &CanaryEvidence) -> Reason {
    let text = format!(
        "nothing was seen of stable in the last minute to compare the canary's {} observations with",
        canary.recent.canary.total()
    );
    Reason::new("no_telemetry", text)
}

pub(crate) fn ambiguous(canary: &CanaryEvidence, settings: &EvaluationSettings) -> Reason {
    let strongest = canary.strongest.first().map_or_else(String::new, event);
    let text = format!(
        "{strongest}: odds of {:.0} to 1 that it is worse, where {:.0} to 1 would be an anomaly",
        canary.e_value,
        settings.alarm_at()
    );
    Reason::new("ambiguous", text)
}

pub(crate) fn no_anomaly(canary: &CanaryEvidence) -> Reason {
    let (stable, suspect) = (&canary.recent.stable, &canary.recent.canary);
    let text = format!(
        "in the last minute the canary failed {} and stable {}",
        share(suspect.failures(), suspect.total()),
        share(stable.failures(), stable.total())
    );
    Reason::new("no_anomaly", text)
}
