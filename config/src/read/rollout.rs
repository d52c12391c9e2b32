//! `[service.NAME.rollout]`

use crate::net::HeaderName;
use crate::number::{Length, OddsRatio, Threshold, Whole};
use crate::reader::{At, Fault, Read, Reader, Text, Value, fault};
use crate::suggest::choose;
use crate::table::table;
use serde_json::{Value as Json, json};
use serinus_rollout::{Mode, OnAnomaly, RolloutPolicy, Stage};
use serinus_routing::{Sticky, Weight};
use std::time::Duration;

/// Looks more often than this would see too little in between.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Whoever waits longer on a canary that fails is harmed more than an overload would.
const LONGEST_RAMP: Duration = Duration::from_secs(30);

/// What comes before the default stages where probes can tell something without users.
const PROBED_HOLD: Duration = Duration::from_secs(60);

table! {
    /// How the canary gets its users, and what takes them away.
    RolloutFile {
        /// Steps in order, each with a weight and a hold. By default 1% for 5m, 10% for 10m, 50% for
        /// 10m, 100% for 30m; where the service has a probe, 0% for 1m comes first.
        stages: Vec<At<StageFile>>,
        /// What users are recognised by, so that each keeps a variant: "cookie", "client_ip",
        /// "none" or { header = "x-user-id" }.
        sticky: Sticky = "cookie",
        /// Time between two looks, 100ms or more. Failures are looked at at once.
        evaluation_interval: Length = "1s",
        /// Confidence that the canary is worse, valid at every look, at which users are protected.
        anomaly_threshold: Threshold = 0.999,
        /// Forecast probability that the failure lasts, above which the release is taken back.
        rollback_threshold: Threshold = 0.8,
        /// Forecast probability below which users return once the anomaly has cleared.
        resume_threshold: Threshold = 0.2,
        /// What happens at the first alarm: "withdraw" takes users off at once, "hold" keeps the
        /// weight until the forecast decides.
        on_anomaly: OnAnomaly = "withdraw",
        /// How long users may be withdrawn without a verdict; then the release is taken back.
        withdraw_limit: Length = "10m",
        /// Longest time in which users return to stable step by step where everybody at once would
        /// be more than it has lately carried, 30s or less; "0s" brings all back at once.
        ramp_limit: Length = "8s",
        /// Odds ratio of failure below which "worse" is not worth a rollback; 1 or more.
        margin: OddsRatio = 1.25,
        /// Requests and probe runs of the canary without which a stage does not end.
        min_requests: Whole<0, 1_000_000_000> = 10,
        /// From when to when after an alarm probes are watched to learn whether the failure lasted.
        label_window: Vec<At<Length>> = ["60s", "300s"],
        /// Send failed idempotent canary requests to stable, within the same request.
        shield: bool = true,
        /// Percent of stable's idempotent requests copied to the canary; answers are thrown away.
        mirror: Weight = 0,
        /// "enforce", or "observe": decide and journal, but leave every user where they are.
        mode: Mode = "enforce",
    }
}

table! {
    /// One step of a rollout.
    StageFile {
        /// Percent of users on the canary, in steps of 0.01; 0 is probes only.
        @required weight: Weight,
        /// How long the canary must look well at this weight.
        @required hold: Length,
    }
}

/// What becomes of the table.
pub(crate) struct Rollout {
    pub(crate) policy: RolloutPolicy,
    pub(crate) sticky: Sticky,
    pub(crate) shield: bool,
    pub(crate) mirror: Weight,
}

impl RolloutFile {
    /// `on_trial`: there is a canary. `probed`: a probe watches the service.
    pub(crate) fn settle(
        self,
        on_trial: bool,
        probed: bool,
        reader: &mut Reader,
    ) -> Option<Rollout> {
        let unset = !self.present.contains(&"stages");
        let first_weight =
            self.stages.as_ref().and_then(|stages| stages.value.first()?.value.weight.as_ref());
        if let Some(weight) = first_weight
            && (on_trial && !probed && weight.value.is_zero())
        {
            let message =
                "nothing can be seen at weight 0 without a probe: this stage would hold for ever";
            reader.warn(&weight.span, message);
        }
        let sticky = self.sticky;
        if let Some(sticky) = &sticky
            && (on_trial && sticky.value == Sticky::None)
        {
            reader.warn(
                &sticky.span,
                "users will see both versions in turn: requests are not sticky",
            );
        }
        let stages = match self.stages {
            Some(stages) => settle_stages(stages, reader),
            None => unset.then(|| default_stages(probed)),
        };
        let interval = self.evaluation_interval?;
        if interval.value.0 < SHORTEST_INTERVAL {
            let help = "write \"100ms\" or more; failures are looked at at once anyway";
            reader.fault::<()>(&interval.span, fault("too short between two looks", help));
        }
        let ramp = self.ramp_limit?;
        if ramp.value.0 > LONGEST_RAMP {
            let help = "write \"30s\" or less; users wait on a canary that fails";
            reader.fault::<()>(&ramp.span, fault("too long for users on the way back", help));
        }
        let (rollback, resume) = (self.rollback_threshold?, self.resume_threshold?);
        check_order(&rollback, &resume, reader);
        let label_window = settle_window(&self.label_window?, reader);
        Some(Rollout {
            policy: RolloutPolicy {
                stages: stages?,
                evaluation_interval: interval.value.0,
                anomaly_threshold: self.anomaly_threshold?.value.0,
                rollback_threshold: rollback.value.0,
                resume_threshold: resume.value.0,
                on_anomaly: self.on_anomaly?.value,
                withdraw_limit: self.withdraw_limit?.value.0,
                ramp_limit: ramp.value.0,
                margin: self.margin?.value.0,
                min_requests: u64::from(self.min_requests?.value.0),
                label_window: label_window?,
                mode: self.mode?.value,
            },
            sticky: sticky?.value,
            shield: self.shield?.value,
            mirror: self.mirror?.value,
        })
    }
}

fn default_stages(probed: bool) -> Vec<Stage> {
    let watched = probed.then_some(Stage { weight: Weight::ZERO, hold: PROBED_HOLD });
    watched.into_iter().chain(RolloutPolicy::default().stages).collect()
}

fn settle_stages(stages: At<Vec<At<StageFile>>>, reader: &mut Reader) -> Option<Vec<Stage>> {
    if stages.value.is_empty() {
        let help = "write at least one: [{ weight = 100, hold = \"30m\" }], or leave 'stages' out";
        return reader.fault(&stages.span, fault("a rollout without stages leads nowhere", help));
    }
    let weights: Vec<_> = stages.value.iter().filter_map(|at| at.value.weight.as_ref()).collect();
    for pair in weights.windows(2) {
        if pair[1].value < pair[0].value {
            let message =
                format!("weights never fall, but {} follows {}", pair[1].value, pair[0].value);
            let help = "raise it, or put the stages in order; users who have the canary keep it";
            reader.fault::<()>(&pair[1].span, fault(message, help));
        }
    }
    if let Some(last) = weights.last()
        && last.value != Weight::FULL
    {
        let message =
            format!("after the last stage everybody follows at once, from {}", last.value);
        reader.warn(&last.span, message);
    }
    let stage = |at: At<StageFile>| {
        Some(Stage { weight: at.value.weight?.value, hold: at.value.hold?.value.0 })
    };
    stages.value.into_iter().map(stage).collect()
}

/// Users return below one threshold and leave for good above the other.
fn check_order(rollback: &At<Threshold>, resume: &At<Threshold>, reader: &mut Reader) {
    let (low, high) = (resume.value.0, rollback.value.0);
    if low >= high {
        let place = if resume.given { &resume.span } else { &rollback.span };
        let message = format!("resume_threshold ({low}) must be below rollback_threshold ({high})");
        let help = "between the two users stay withdrawn until the forecast is clearer";
        reader.fault::<()>(place, fault(message, help));
    }
}

fn settle_window(
    window: &At<Vec<At<Length>>>,
    reader: &mut Reader,
) -> Option<(Duration, Duration)> {
    match window.value.as_slice() {
        [from, to] if from.value.0 < to.value.0 => Some((from.value.0, to.value.0)),
        _ => {
            let help = "write [\"60s\", \"300s\"]: from one minute after the alarm to five";
            reader.fault(
                &window.span,
                fault("a label window is two durations, the shorter first", help),
            )
        }
    }
}

table! {
    /// Users are recognised by a request header.
    StickyHeader {
        /// Its name.
        @required header: HeaderName,
    }
}

const STICKY: [(&str, Sticky); 3] =
    [("none", Sticky::None), ("cookie", Sticky::Cookie), ("client_ip", Sticky::ClientIp)];

impl Read for Sticky {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        if value.get_ref().is_table() {
            return Some(Sticky::Header(StickyHeader::read(value, reader)?.header?.value.0));
        }
        let help = "write \"none\", \"cookie\", \"client_ip\" or { header = \"x-user-id\" }";
        match value.get_ref().as_str() {
            Some("header") => {
                let help = "write sticky = { header = \"x-user-id\" }";
                reader.fault(&value.span(), fault("sticky by which header?", help))
            }
            Some(text) => match choose(text, &STICKY) {
                Ok(sticky) => Some(sticky),
                Err(fault) => reader.fault(&value.span(), fault),
            },
            None => reader.wrong_type(value, "a string or { header = ... }", help),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "enum": STICKY.map(|(name, _)| name) }, StickyHeader::schema()] })
    }
}

const ON_ANOMALY: [(&str, OnAnomaly); 2] =
    [("withdraw", OnAnomaly::Withdraw), ("hold", OnAnomaly::Hold)];

impl Text for OnAnomaly {
    const WHAT: &'static str = "\"withdraw\" or \"hold\"";
    const EXAMPLE: &'static str = "\"withdraw\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &ON_ANOMALY)
    }

    fn schema() -> Json {
        json!({ "enum": ON_ANOMALY.map(|(name, _)| name) })
    }
}

const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];

impl Text for Mode {
    const WHAT: &'static str = "\"enforce\" or \"observe\"";
    const EXAMPLE: &'static str = "\"enforce\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &MODES)
    }

    fn schema() -> Json {
        json!({ "enum": MODES.map(|(name, _)| name) })
    }
}
