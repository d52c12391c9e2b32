//! `serinus certificates` and `serinus renew`: what listeners show, and what a CA is asked for.

use super::admin_client::{Whom, segment};
use crate::acme::written;
use crate::admin::Certificates;
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct CertificatesArguments {
    /// As the API gives it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, Args)]
pub(super) struct RenewArguments {
    /// One of the names under `tls.acme` of a listener.
    name: String,
    #[command(flatten)]
    whom: Whom,
}

pub(super) fn certificates(arguments: &CertificatesArguments) -> anyhow::Result<ExitCode> {
    let answer: serde_json::Value = arguments.whom.client()?.get("/api/v1/certificates")?;
    if arguments.json {
        println!("{answer:#}");
    } else {
        print!("{}", described(&serde_json::from_value(answer)?));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn renew(arguments: &RenewArguments) -> anyhow::Result<ExitCode> {
    let path = format!("/api/v1/certificates/{}/renew", segment(&arguments.name));
    arguments.whom.client()?.post(&path)?;
    println!("the CA is asked for {}: see `serinus certificates`, or the log", arguments.name);
    Ok(ExitCode::SUCCESS)
}

fn described(all: &Certificates) -> String {
    if all.certificates.is_empty() && all.names.is_empty() {
        return "no listener speaks TLS\n".to_owned();
    }
    let mut text = String::new();
    for certificate in &all.certificates {
        let from = if certificate.from == "ca" { ", by the CA" } else { "" };
        text += &format!(
            "{} on listener {}: ends at {}{from}\n",
            certificate.name, certificate.listener, certificate.ends
        );
    }
    for name in &all.names {
        text += &match &name.trouble {
            Some(trouble) => format!("! {trouble}\n"),
            None => {
                format!("{}: the CA is asked at {}\n", name.status.name, written(name.status.next))
            }
        };
    }
    text
}
