//! What the demo and its processes can be told.

use super::shop::FaultKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `serinus demo`
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArguments {
    /// What goes wrong with the new version.
    #[arg(long, value_enum, default_value = "errors")]
    pub fault: FaultKind,
    /// Share of the requests that the fault hits, 0 to 1. Default: by kind.
    #[arg(long, value_name = "SHARE")]
    pub rate: Option<f64>,
    /// Plain lines instead of the live view; always so when the output is not a terminal.
    #[arg(long)]
    pub headless: bool,
    /// End after this long even if nothing is decided, such as 45s.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "56s")]
    pub duration: Duration,
    /// Requests per second.
    #[arg(long, default_value_t = 200.0)]
    pub rps: f64,
    /// Seed of the load and of the shops.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Keep the journal and the logs.
    #[arg(long)]
    pub keep: bool,
}

/// `serinus lab-upstream`: one shop.
#[derive(Debug, Clone, clap::Args)]
pub struct UpstreamArguments {
    /// Where users are served; port 0 lets the kernel choose. The address is printed as JSON.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where faults are ordered and counts are read.
    #[arg(long)]
    pub control: Option<SocketAddr>,
    /// The version it says it is.
    #[arg(long, default_value = "1.0.0")]
    pub version: String,
    /// Seed of latencies and faults.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Median time to answer, in milliseconds; 0 answers at once.
    #[arg(long, default_value_t = 8.0)]
    pub latency: f64,
    /// A fault from the start.
    #[arg(long, value_enum, default_value = "none")]
    pub fault: FaultKind,
    /// Share of the requests it hits, 0 to 1. Default: by kind.
    #[arg(long)]
    pub rate: Option<f64>,
    /// How long before it begins.
    #[arg(long, value_parser = duration, default_value = "0s")]
    pub after: Duration,
    /// How long it lasts; default: by kind, mostly for ever.
    #[arg(long = "for", value_parser = duration)]
    pub lasting: Option<Duration>,
    /// A file that carries the counts over a crash to the next process.
    #[arg(long)]
    pub counts: Option<PathBuf>,
}

/// `serinus lab-child PARENT COMMAND...`: that command, dying with its parent.
#[derive(Debug, Clone, clap::Args)]
pub struct ChildArguments {
    /// Process id of the parent.
    pub parent: i32,
    /// The subcommand of this executable, with its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `250ms`, `2s`, `1m`.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("say it as 250ms, 2s or 1m".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| format!("'{number}' is not a number"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "1h", "1e400s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
